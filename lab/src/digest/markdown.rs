//! The digest as tables of markdown, with what is needed to judge them above. Pure.

use std::fmt::Write as _;

use super::{Cell, Digest, Figures};
use crate::bench::Spread;

pub(super) const HEAD: [&str; 9] = [
    "client",
    "time, × own steady",
    "failed",
    "over 1 s",
    "p99.9, ms",
    "slowest, ms",
    "last failure, ms",
    "harmed until, ms",
    "spread",
];

/// A table a scenario: the median, and the range where trials differ.
#[must_use]
pub fn markdown(digest: &Digest) -> String {
    let mut text = circumstances(digest);
    for row in &digest.rows {
        let _ = write!(text, "\n### `{}`\n\n{}.\n\n", plain(&row.scenario), plain(&row.summary));
        let _ = writeln!(text, "| {} |\n|{}", HEAD.join(" | "), "---|".repeat(HEAD.len()));
        for cell in &row.cells {
            let _ = writeln!(text, "{}", line(cell));
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
        "{}; {} × {}, Linux {}; obit {}; {} callers; {} trials, median (range).\n",
        plain(&environment.date),
        machine.cpus,
        plain(cpu),
        plain(&machine.kernel),
        plain(&environment.versions.obit),
        flags.concurrency,
        flags.trials,
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

fn line(cell: &Cell) -> String {
    let name = plain(&cell.client);
    let Some(figures) = &cell.figures else {
        let why = cell.unusable.first().map_or("not run", String::as_str);
        return format!("| {name} | {} |{}", plain(why), " |".repeat(HEAD.len() - 2));
    };
    format!("| {name} | {} |", cells(figures).join(" | "))
}

pub(super) fn cells(figures: &Figures) -> [String; HEAD.len() - 1] {
    let known = |spread: Option<Spread>, digits| spread.map_or_else(|| "–".to_owned(), |spread| range(spread, digits));
    let at_least = if figures.stopped > 0 { "≥ " } else { "" };
    [
        format!("{at_least}{}", known(figures.ratio, 2)),
        range(figures.failed, 0),
        range(figures.slow, 0),
        known(figures.p999_ms, 0),
        known(figures.max_ms, 0),
        known(figures.last_failure_ms, 0),
        known(figures.harmed_until_ms, 0),
        known(figures.spread, 2),
    ]
}

/// The median; and the range, where it is one at so many digits.
fn range(spread: Spread, digits: usize) -> String {
    let [median, min, max] = [spread.median, spread.min, spread.max].map(|it| format!("{it:.digits$}"));
    if min == max {
        median
    } else {
        format!("{median} ({min}–{max})")
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
        let tables: Vec<_> = text.lines().filter(|line| line.starts_with('|')).map(bars).collect();
        assert!(tables.iter().all(|count| *count == HEAD.len() + 1), "{text}");
    }

    #[test]
    fn what_somebody_says_stays_in_its_cell() {
        let mut environment = environment();
        environment.flags.clients[2].name = "a|b`<img>\n# x".to_owned();
        let text = markdown(&Digest::of(&environment, &documents()));
        assert!(text.contains("| a\\|b'&lt;img># x | not run |"), "{text}");
    }
}
