//! The digest as tables of markdown, with what is needed to judge them above. Pure.

use std::fmt::Write as _;

use super::Digest;
use super::table::{Line, Table};

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
    fn what_somebody_says_stays_in_its_cell() {
        let mut environment = environment();
        environment.flags.scenarios[1].clients[2] = "a|b`<img>\n# x".to_owned();
        let text = markdown(&Digest::of(&environment, &documents()));
        assert!(text.contains("| a\\|b'&lt;img># x | not run |"), "{text}");
    }
}
