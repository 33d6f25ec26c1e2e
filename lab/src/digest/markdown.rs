//! The digest as tables of markdown, with what is needed to judge them above. Pure.

use std::fmt::Write as _;

use super::table::{Line, Table, range};
use super::{Cell, Digest, Row};

/// A table a scenario: the median, and the range where trials differ.
#[must_use]
pub fn markdown(digest: &Digest) -> String {
    let mut text = circumstances(digest);
    for row in &digest.rows {
        let _ = write!(text, "\n### `{}`\n\n{}.\n\n", plain(&row.scenario), plain(&row.summary));
        let table = Table::of(row);
        let columns = table.head.len();
        let _ = writeln!(text, "| {} |\n|{}", table.head.join(" | "), "---|".repeat(columns));
        for it in &table.lines {
            let _ = writeln!(text, "{}", line(it, columns));
        }
    }
    text
}

/// One table, of the scenarios in which more than half of the clients were measured: a line a client, a column a scenario.
#[must_use]
pub fn overview(digest: &Digest) -> String {
    let clients = &digest.environment.flags.clients;
    let rows = digest.rows.iter();
    let rows: Vec<_> = rows
        .filter(|row| !row.steady && 2 * row.cells.len() > clients.len())
        .collect();
    let mut text = circumstances(digest);
    text += "\nIn each cell: calls failed, the time against the client's own steady runs, the slowest call.\n\n";
    let names: Vec<_> = rows.iter().map(|row| format!("`{}`", plain(&row.scenario))).collect();
    let _ = writeln!(text, "| | {} |\n|{}", names.join(" | "), "---|".repeat(names.len() + 1));
    for client in clients {
        let of_client = |row: &&Row| {
            let cell = row.cells.iter().find(|cell| cell.client == client.name);
            cell.map_or_else(|| "–".to_owned(), brief)
        };
        let cells: Vec<_> = rows.iter().map(of_client).collect();
        let _ = writeln!(text, "| `{}` | {} |", plain(&client.name), cells.join(" | "));
    }
    text
}

/// What an overview says of a client in a scenario.
fn brief(cell: &Cell) -> String {
    let Some(figures) = &cell.figures else {
        return plain(cell.why_not());
    };
    let at_least = if figures.stopped > 0 { "≥ " } else { "" };
    let mut said = vec![range(figures.failed, 0)];
    said.extend(figures.ratio.map(|it| format!("{at_least}{} ×", range(it, 2))));
    said.extend(figures.max_ms.map(|it| format!("{at_least}{} ms", range(it, 0))));
    if 2 * figures.unrecovered > figures.trials {
        said.push("who is new or back never gets its share".to_owned());
    }
    said.join("; ")
}

/// When, where and of what.
fn circumstances(digest: &Digest) -> String {
    let environment = &digest.environment;
    let (machine, flags) = (&environment.machine, &environment.flags);
    let cpu = machine.cpu.as_deref().unwrap_or("processors of unknown kind");
    let mut text = format!(
        "{}; {} × {}, Linux {}; obit {}; {} callers; {}.\n",
        plain(&environment.date),
        machine.cpus,
        plain(cpu),
        plain(&machine.kernel),
        plain(&environment.versions.obit),
        flags.concurrency,
        match flags.trials {
            1 => "1 trial".to_owned(),
            trials => format!("{trials} trials, median (range)"),
        },
    );
    if flags.quick {
        text += "\nA quick run: it shows that everything works, and its figures say little.\n";
    }
    let versions: Vec<_> = environment
        .versions
        .clients
        .iter()
        .filter_map(|(client, version)| Some(format!("{} ({})", plain(client), plain(version.as_ref()?))))
        .collect();
    if !versions.is_empty() {
        let _ = write!(text, "\nVersions: {}.\n", versions.join(", "));
    }
    text
}

fn line(line: &Line, columns: usize) -> String {
    let name = plain(&line.client);
    match &line.cells {
        Ok(cells) => format!("| {name} | {} |", cells.join(" | ")),
        Err(why) => format!("| {name} | {} |{}", plain(why), " |".repeat(columns.saturating_sub(2))),
    }
}

/// Text of somebody's, so that it stays within its cell and means nothing there.
fn plain(text: &str) -> String {
    let line: String = text.chars().filter(|it| !it.is_control()).collect();
    line.replace('\\', "\\\\")
        .replace('|', "\\|")
        .replace('<', "&lt;")
        .replace('`', "'")
}

#[cfg(test)]
mod tests {
    use super::super::tests::{documents, environment};
    use super::*;

    #[test]
    fn each_scenario_is_a_table_of_all_clients() {
        let text = markdown(&Digest::of(&environment(), &documents()));
        assert!(text.contains("### `kill`\n\nkill happens.\n"), "{text}");
        assert!(text.contains("| obit | ≥ 1.10 | 0 |"), "{text}");
        assert!(text.contains("| tonic | ≥ 1.50 | 252 (251–252) |"), "{text}");
        assert!(text.contains("| gone | there is no go |"), "{text}");
        let bars = |line: &str| line.matches('|').count() - line.matches("\\|").count();
        for scenario in text.split("###") {
            let table: Vec<_> = scenario
                .lines()
                .filter(|line| line.starts_with('|'))
                .map(bars)
                .collect();
            assert!(table.windows(2).all(|pair| pair[0] == pair[1]), "{text}");
        }
    }

    #[test]
    fn the_overview_has_a_column_for_each_scenario_of_most_clients() {
        let mut environment = environment();
        let text = overview(&Digest::of(&environment, &documents()));
        assert!(text.contains("| | `kill` |\n|---|---|\n"), "{text}");
        assert!(text.contains("| `obit` | 0; ≥ 1.10 ×; ≥ 1400 ms |"), "{text}");
        assert!(text.contains("| `gone` | there is no go |"), "{text}");
        environment.flags.scenarios[1].clients.pop();
        let text = overview(&Digest::of(&environment, &documents()));
        assert!(text.contains("| `gone` | – |"), "{text}");
        environment.flags.scenarios[1].clients.truncate(1);
        let text = overview(&Digest::of(&environment, &documents()));
        assert!(text.contains("| |  |\n|---|\n| `obit` |  |"), "{text}");
    }

    #[test]
    fn what_somebody_says_stays_in_its_cell() {
        let mut environment = environment();
        environment.flags.scenarios[1].clients[2] = "a|b`<img>\n# x".to_owned();
        let text = markdown(&Digest::of(&environment, &documents()));
        assert!(text.contains("| a\\|b'&lt;img># x | not run |"), "{text}");
    }
}
