//! The outcomes as a table: for people, or as markdown for a document. Pure.

use std::fmt::Write as _;

use super::{Outcome, Pairs, Spread, Target};

const HEAD: [&str; 8] = ["part", "quantity", "unit", "A", "B", "ratio", "target", "met"];

/// A table in columns; what is to be said of a row stands below it.
#[must_use]
pub fn text(outcomes: &[Outcome]) -> String {
    let rows: Vec<_> = outcomes.iter().map(row).collect();
    let mut lines = columns(HEAD, &rows).into_iter();
    let mut table = lines.next().unwrap_or_default();
    for (outcome, line) in outcomes.iter().zip(lines) {
        table += &line;
        if !outcome.figures.is_empty() {
            let _ = writeln!(table, "    {}", figures(outcome));
        }
        if let Some(note) = outcome.note() {
            let _ = writeln!(table, "    {note}");
        }
    }
    table
}

/// The lines of a table whose columns stand under their heads; the heads are the first.
pub(super) fn columns<const N: usize>(head: [&str; N], rows: &[[String; N]]) -> Vec<String> {
    let mut lines = vec![head.map(str::to_owned)];
    lines.extend(rows.iter().cloned());
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max();
    let widths: Vec<_> = (0..N).map(|column| width(column).unwrap_or(0)).collect();
    let aligned = lines.iter().map(|line| {
        let cells = line.iter().zip(&widths);
        let text: String = cells.map(|(cell, width)| format!("{cell:<width$}  ")).collect();
        format!("{}\n", text.trim_end())
    });
    aligned.collect()
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
    let spread = |pairs: Option<&Pairs>| pairs.map_or_else(|| "–".to_owned(), |pairs| range(pairs.spread));
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
        spread(outcome.a.as_ref()),
        range(outcome.b.spread),
        spread(outcome.ratio.as_ref()),
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
pub(super) fn plain(value: f64) -> String {
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
