//! A row of the digest as a table: a line a client, and the columns that say something in this scenario. Pure.

use super::{Cell, Figures, Row};
use crate::bench::Spread;

/// A scenario's table.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Table {
    /// What the columns are called, the clients' first.
    pub(super) head: Vec<&'static str>,
    /// One a client.
    pub(super) lines: Vec<Line>,
}

/// A client's line.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Line {
    /// The client's name.
    pub(super) client: String,
    /// A cell for each column but the first, or why there are none.
    pub(super) cells: Result<Vec<String>, String>,
}

/// A column.
struct Column {
    head: &'static str,
    /// Left out where no client has it.
    always: bool,
    cell: fn(&Figures) -> Option<String>,
}

const fn always(head: &'static str, cell: fn(&Figures) -> Option<String>) -> Column {
    Column {
        head,
        always: true,
        cell,
    }
}

const fn sometimes(head: &'static str, cell: fn(&Figures) -> Option<String>) -> Column {
    Column {
        head,
        always: false,
        cell,
    }
}

const COLUMNS: [Column; 12] = [
    always("time, × own steady", |it| {
        let at_least = if it.stopped > 0 { "≥ " } else { "" };
        it.ratio.map(|ratio| format!("{at_least}{}", range(ratio, 2)))
    }),
    always("failed", |it| Some(range(it.failed, 0))),
    always("over 1 s", |it| Some(range(it.slow, 0))),
    always("p99.9, ms", |it| it.p999_ms.map(|it| range(it, 0))),
    always("slowest, ms", |it| it.max_ms.map(|it| range(it, 0))),
    sometimes("last failure, ms", |it| it.last_failure_ms.map(|it| range(it, 0))),
    sometimes("harmed until, ms", |it| it.harmed_until_ms.map(|it| range(it, 0))),
    sometimes("wrongly taken for dead", |it| {
        it.wrongly_evicted.filter(|it| it.max > 0.0).map(|it| range(it, 0))
    }),
    sometimes("first answer, ms", |it| {
        back(it.first_answer_ms, it.unanswered, it.trials)
    }),
    sometimes("fair share, ms", |it| back(it.fair_share_ms, it.unrecovered, it.trials)),
    sometimes("processed twice", |it| {
        (it.processed_twice.max > 0.0).then(|| range(it.processed_twice, 0))
    }),
    always("spread", |it| it.spread.map(|it| range(it, 2))),
];

impl Table {
    /// The table of `row`.
    pub(super) fn of(row: &Row) -> Self {
        let figures = || row.cells.iter().filter_map(|cell| cell.figures.as_ref());
        let shown: Vec<_> = COLUMNS
            .iter()
            .filter(|it| it.always || figures().any(|figures| (it.cell)(figures).is_some()))
            .collect();
        let line = |cell: &Cell| Line {
            client: cell.client.clone(),
            cells: cell
                .figures
                .as_ref()
                .ok_or_else(|| cell.why_not().to_owned())
                .map(|figures| {
                    let cells = shown.iter().map(|column| (column.cell)(figures));
                    cells.map(|cell| cell.unwrap_or_else(|| "–".to_owned())).collect()
                }),
        };
        Self {
            head: std::iter::once("client")
                .chain(shown.iter().map(|it| it.head))
                .collect(),
            lines: row.cells.iter().map(line).collect(),
        }
    }
}

/// How long it took where it came to that, and in how many trials it did not.
fn back(took: Option<Spread>, never: usize, trials: usize) -> Option<String> {
    match (took.map(|took| range(took, 0)), never) {
        (took, 0) => took,
        (None, _) => Some("never".to_owned()),
        (Some(took), never) => Some(format!("{took}; never in {never} of {trials}")),
    }
}

/// The median; and the range, where it is one at so many digits.
pub(super) fn range(spread: Spread, digits: usize) -> String {
    let [median, min, max] = [spread.median, spread.min, spread.max].map(|it| format!("{it:.digits$}"));
    if min == max {
        median
    } else {
        format!("{median} ({min}–{max})")
    }
}

#[cfg(test)]
mod tests {
    use super::super::Digest;
    use super::super::tests::{documents, environment};
    use super::*;

    #[test]
    fn a_column_that_nobody_has_is_left_out() {
        let digest = Digest::of(&environment(), &documents());
        let [steady, kill] = [&digest.rows[0], &digest.rows[1]].map(Table::of);
        assert!(kill.head.contains(&"last failure, ms") && !steady.head.contains(&"last failure, ms"));
        for table in [steady, kill] {
            let cells = table.lines.iter().filter_map(|line| line.cells.as_ref().ok());
            assert!(cells.clone().count() == 2 && cells.into_iter().all(|it| it.len() + 1 == table.head.len()));
            assert_eq!(table.lines[2].cells, Err("there is no go".to_owned()));
        }
    }

    #[test]
    fn who_never_came_back_is_said_to_have_never_come_back() {
        let took = Spread::of([100.0, 300.0]);
        assert_eq!(back(None, 0, 5), None);
        assert_eq!(back(took, 0, 2).unwrap(), "200 (100–300)");
        assert_eq!(back(took, 3, 5).unwrap(), "200 (100–300); never in 3 of 5");
        assert_eq!(back(None, 5, 5).unwrap(), "never");
    }
}
