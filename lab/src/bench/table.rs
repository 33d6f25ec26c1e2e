//! The outcomes as a table: for people, or as markdown for a document. Pure.

use std::fmt::Write as _;

use super::{Outcome, Spread, Target};

const HEAD: [&str; 8] = ["part", "quantity", "unit", "A", "B", "ratio", "target", "met"];

/// A table in columns; what is to be said of a row stands below it.
#[must_use]
pub fn text(outcomes: &[Outcome]) -> String {
    let rows: Vec<_> = outcomes.iter().map(row).collect();
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([HEAD[column].len()]).max().unwrap_or(0)
    };
    let widths: Vec<_> = (0..HEAD.len()).map(width).collect();
    let aligned = |cells: [&str; 8]| {
        let mut line = String::new();
        for (cell, width) in cells.iter().zip(&widths) {
            let _ = write!(line, "{cell:<width$}  ");
        }
        format!("{}\n", line.trim_end())
    };
    let mut table = aligned(HEAD);
    for (outcome, row) in outcomes.iter().zip(&rows) {
        table += &aligned(row.each_ref().map(String::as_str));
        if !outcome.figures.is_empty() {
            let _ = writeln!(table, "    {}", figures(outcome));
        }
        if let Some(note) = outcome.note() {
            let _ = writeln!(table, "    {note}");
        }
    }
    table
}

/// The same as a table of markdown.
#[must_use]
pub fn markdown(outcomes: &[Outcome]) -> String {
    let mut table = format!("| {} | besides |\n", HEAD.join(" | "));
    table += &format!("|{}\n", "---|".repeat(HEAD.len() + 1));
    for outcome in outcomes {
        let besides = [figures(outcome), outcome.note().unwrap_or_default()];
        let besides = besides.iter().filter(|it| !it.is_empty()).cloned().collect::<Vec<_>>();
        let _ = writeln!(table, "| {} | {} |", row(outcome).join(" | "), besides.join("; "));
    }
    table
}

fn row(outcome: &Outcome) -> [String; 8] {
    let spread = |spread: Option<Spread>| spread.map_or_else(|| "–".to_owned(), range);
    let sign = match outcome.target {
        Target::RatioAtLeast(_) => "ratio ≥",
        Target::AtMost(_) => "B ≤",
    };
    let met = match outcome.met() {
        Some(true) => "yes",
        Some(false) => "MISSED",
        None => "not judged",
    };
    [
        outcome.part.to_owned(),
        outcome.quantity.to_owned(),
        outcome.unit.to_owned(),
        spread(outcome.a),
        range(outcome.b),
        spread(outcome.ratio),
        format!("{sign} {}", outcome.target.number()),
        met.to_owned(),
    ]
}

fn range(spread: Spread) -> String {
    let Spread { median, min, max, .. } = spread;
    format!("{} [{}–{}]", plain(median), plain(min), plain(max))
}

fn figures(outcome: &Outcome) -> String {
    let figures = outcome.figures.iter();
    let figures: Vec<_> = figures
        .map(|(name, value)| format!("{name} {}", plain(*value)))
        .collect();
    figures.join(", ")
}

/// As many digits as say something.
fn plain(value: f64) -> String {
    match value.abs() {
        small if small < 10.0 => format!("{value:.3}"),
        medium if medium < 1_000.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::outcome::tests::sample;
    use super::*;

    #[test]
    fn a_row_says_both_sides_their_ratio_and_whether_the_target_is_met() {
        let text = text(&[sample()]);
        let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(
            words,
            "part quantity unit A B ratio target met churn-unwatched connections 1/s 50000 [25000–100000] \
             48562 [24281–97123] 0.971 [0.486–1.942] ratio ≥ 0.96 yes monitor_cpu_percent 1.250"
        );
    }

    #[test]
    fn columns_stand_under_their_heads() {
        let text = text(&[sample()]);
        let lines: Vec<Vec<char>> = text.lines().map(|line| line.chars().collect()).collect();
        let head: String = lines[0].iter().collect();
        let place = head.find("target").unwrap();
        assert_eq!(lines[1][place..place + 7], "ratio ≥".chars().collect::<Vec<_>>());
    }

    #[test]
    fn a_missed_target_is_said_in_capitals_with_the_reason() {
        let missed = Outcome {
            fault: Some("one verdict never came".into()),
            a: None,
            ratio: None,
            ..sample()
        };
        assert!(text(std::slice::from_ref(&missed)).contains("MISSED\n"));
        assert!(text(std::slice::from_ref(&missed)).ends_with("    one verdict never came\n"));
        assert!(
            markdown(&[missed])
                .contains("| – | ratio ≥ 0.96 | MISSED | monitor_cpu_percent 1.250; one verdict never came |")
        );
    }

    #[test]
    fn every_line_of_markdown_has_as_many_cells() {
        let markdown = markdown(&[sample(), sample()]);
        assert_eq!(markdown.lines().count(), 4);
        assert!(
            markdown.lines().all(|line| line.matches('|').count() == 10),
            "{markdown}"
        );
    }
}
