//! What came of the cases: a line each on standard output, for xtask to read, and a table for people at the end.

use std::fmt::Write as _;
use std::time::Duration;

/// What came of a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is as it should be; what was seen.
    Pass(String),
    /// It is not; why.
    Fail(String),
    /// It could not be tried; why, and what to do.
    Skip(String),
}

impl Outcome {
    fn word(&self) -> &'static str {
        match self {
            Self::Pass(_) => "PASS",
            Self::Fail(_) => "FAIL",
            Self::Skip(_) => "SKIP",
        }
    }

    /// The line of the case `name`: one line, whatever it says.
    pub(crate) fn line(&self, name: &str) -> String {
        let (mark, said) = match self {
            Self::Pass(seen) => ("", seen),
            Self::Fail(why) | Self::Skip(why) => (":", why),
        };
        format!("{} {name}{mark} {}", self.word(), one_line(said))
    }
}

/// A case that was run.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) took: Duration,
    pub(crate) outcome: Outcome,
}

/// The table at the end.
pub(crate) fn table(rows: &[Row]) -> String {
    let width = rows.iter().map(|row| row.name.len()).max().unwrap_or(0);
    let mut table = String::new();
    for Row { name, took, outcome } in rows {
        let _ = writeln!(
            table,
            "  {}  {name:width$}  {:6.1} s",
            outcome.word(),
            took.as_secs_f64()
        );
    }
    let count = |word| rows.iter().filter(|row| row.outcome.word() == word).count();
    let _ = writeln!(
        table,
        "  {} passed, {} failed, {} skipped",
        count("PASS"),
        count("FAIL"),
        count("SKIP")
    );
    table
}

/// Whether any failed.
pub(crate) fn any_failed(rows: &[Row]) -> bool {
    rows.iter().any(|row| matches!(row.outcome, Outcome::Fail(_)))
}

fn one_line(text: &str) -> String {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect::<Vec<_>>()
        .join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_is_one_line_however_much_it_says() {
        assert_eq!(Outcome::Pass("3 deaths".into()).line("kill"), "PASS kill 3 deaths");
        assert_eq!(Outcome::Fail("a\n  b\n".into()).line("kill"), "FAIL kill: a; b");
        assert_eq!(Outcome::Skip("no".into()).line("kill"), "SKIP kill: no");
    }

    #[test]
    fn the_table_counts_what_came_of_the_cases() {
        let row = |name, outcome| Row {
            name,
            took: Duration::from_millis(1_250),
            outcome,
        };
        let rows = [
            row("one", Outcome::Pass(String::new())),
            row("three", Outcome::Skip(String::new())),
        ];
        assert!(!any_failed(&rows));
        assert_eq!(
            table(&rows),
            "  PASS  one       1.2 s\n  SKIP  three     1.2 s\n  1 passed, 0 failed, 1 skipped\n"
        );
        assert!(any_failed(&[row("two", Outcome::Fail(String::new()))]));
    }
}
