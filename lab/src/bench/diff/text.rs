//! A comparison as a table for people. Pure.

use std::fmt::Write as _;

use super::{ComparedRow, Diff, Verdict};
use crate::bench::table::{columns, plain};

const HEAD: [&str; 6] = ["part", "quantity", "of", "A", "B", "verdict"];

/// A table in columns; what is to be said of a row stands below it, and the sum of all in the last line.
#[must_use]
pub fn text(diff: &Diff) -> String {
    let rows: Vec<_> = diff.rows.iter().map(cells).collect();
    let mut lines = columns(HEAD, &rows).into_iter();
    let mut table = lines.next().unwrap_or_default();
    for (line, row) in lines.zip(&diff.rows) {
        table += &line;
        if let Some(note) = &row.note {
            let _ = writeln!(table, "    {note}");
        }
    }
    let _ = writeln!(table, "\n{}", sum(diff));
    table
}

fn cells(row: &ComparedRow) -> [String; 6] {
    let number = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), plain);
    [
        format!("{} {}", row.suite, row.part),
        row.quantity.clone(),
        row.unit.clone(),
        number(row.a),
        number(row.b),
        verdict(row),
    ]
}

fn verdict(row: &ComparedRow) -> String {
    let by = |word: &str| match row.better_percent {
        Some(percent) => format!("{word} by {:.1} %", percent.abs()),
        None => word.to_owned(),
    };
    match row.verdict {
        Verdict::Noise => "noise".to_owned(),
        Verdict::Better => by("better"),
        Verdict::Worse => by("WORSE"),
        Verdict::Disturbed => "not quiet: measure again".to_owned(),
        Verdict::TooFew => "too few pairs to say".to_owned(),
        Verdict::Failed => "FAILED in B".to_owned(),
        Verdict::OnlyInA => "only in A".to_owned(),
        Verdict::OnlyInB => "only in B".to_owned(),
    }
}

fn sum(diff: &Diff) -> String {
    let count = |verdict| diff.rows.iter().filter(|row| row.verdict == verdict).count();
    let words = [
        (Verdict::Worse, "worse"),
        (Verdict::Failed, "failed in B"),
        (Verdict::Better, "better"),
        (Verdict::Noise, "noise"),
        (Verdict::Disturbed, "where the machine was not quiet"),
        (Verdict::TooFew, "with too few pairs to say"),
        (Verdict::OnlyInA, "only in A"),
        (Verdict::OnlyInB, "only in B"),
    ];
    let said = words.map(|(verdict, word)| (count(verdict), word));
    let said = said.iter().filter(|(count, _)| *count > 0);
    let said: Vec<_> = said.map(|(count, word)| format!("{count} {word}")).collect();
    let changed = count(Verdict::Worse) + count(Verdict::Better) > 0;
    format!(
        "{} rows: {}{}",
        diff.rows.len(),
        said.join(", "),
        if changed {
            ""
        } else {
            "; nothing changed that could not be chance"
        }
    )
}

#[cfg(test)]
mod tests {
    use super::super::Measure;
    use super::*;

    fn row(verdict: Verdict, better_percent: Option<f64>) -> ComparedRow {
        ComparedRow {
            suite: "lab".to_owned(),
            part: "kill".to_owned(),
            quantity: "slowest call".to_owned(),
            compared: Measure::Alone,
            unit: "ms".to_owned(),
            a: Some(28.5),
            b: None,
            better_percent,
            p: None,
            verdict,
            note: None,
        }
    }

    #[test]
    fn a_row_says_what_changed_and_the_last_line_counts() {
        let mut broken = row(Verdict::Worse, None);
        broken.note = Some("not 0 in 1 of 3 pairs".to_owned());
        let diff = Diff {
            rows: vec![
                row(Verdict::Worse, Some(-12.34)),
                broken,
                row(Verdict::Noise, Some(1.0)),
            ],
            warnings: vec![],
        };
        let text = text(&diff);
        assert!(
            text.contains("lab kill  slowest call  ms  28.5  –  WORSE by 12.3 %\n"),
            "{text}"
        );
        assert!(text.contains("WORSE\n    not 0 in 1 of 3 pairs\n"), "{text}");
        assert!(text.ends_with("\n\n3 rows: 2 worse, 1 noise\n"), "{text}");
        let quiet = Diff {
            rows: vec![row(Verdict::TooFew, None)],
            warnings: vec![],
        };
        assert!(
            super::text(&quiet)
                .ends_with("1 rows: 1 with too few pairs to say; nothing changed that could not be chance\n")
        );
    }
}
