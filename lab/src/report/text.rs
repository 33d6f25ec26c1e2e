//! Runs side by side in the article's form: one column a client.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::json::{ms, ratio, us};
use crate::run::{Recovery, Run};

/// A run and how long the client's own steady run took in the same invocation.
#[derive(Debug, Clone, PartialEq)]
pub struct Compared {
    /// The run.
    pub run: Run,
    /// The client's own steady run.
    pub steady_ns: Option<u64>,
}

/// One scenario's runs as a table, with the failures' texts below it.
#[must_use]
pub fn table(runs: &[Compared]) -> String {
    let mut rows: Vec<Vec<String>> = Vec::new();
    let mut row = |label: &str, cell: &dyn Fn(&Compared) -> String| {
        let mut cells = vec![label.to_owned()];
        cells.extend(runs.iter().map(cell));
        rows.push(cells);
    };
    row("Task", &|c| format!("{} {}", c.run.client, c.run.scenario));
    row("Trail number", &|c| c.run.asked.to_string());
    row("Time elapsed", &|c| {
        format!("{:.3} s", ms(c.run.figures.elapsed_ns) / 1e3)
    });
    row("  to its own steady run", &|c| {
        c.steady_ns.map_or("-".into(), |steady| {
            format!("{:.3} x", ratio(c.run.figures.elapsed_ns, steady))
        })
    });
    row("Success/Fail", &|c| {
        format!("{}/{}", c.run.figures.success, c.run.figures.fail)
    });
    row("  of these hung", &|c| match (c.run.figures.hung, c.run.stopped) {
        (hung, true) => format!("{hung}, stopped"),
        (hung, false) => hung.to_string(),
    });
    row("  never called", &|c| {
        let called = c.run.figures.success.saturating_add(c.run.figures.fail);
        c.run.asked.saturating_sub(called).to_string()
    });
    let pods: BTreeSet<_> = runs.iter().flat_map(|c| c.run.figures.load_balance.keys()).collect();
    row("Load Balance", &|_| String::new());
    for pod in pods {
        row(&format!("  {pod}"), &|c| {
            let mark = if c.run.victim.as_ref() == Some(pod) {
                " (died)"
            } else {
                ""
            };
            c.run
                .figures
                .load_balance
                .get(pod)
                .map_or("-".into(), |calls| format!("{calls}{mark}"))
        });
    }
    row("Call p50", &|c| milliseconds(c.run.figures.latency.p50_ns));
    row("Call p99", &|c| milliseconds(c.run.figures.latency.p99_ns));
    row("Call p99.9", &|c| milliseconds(c.run.figures.latency.p999_ns));
    row("Call max", &|c| milliseconds(c.run.figures.latency.max_ns));
    row("Calls over 1 s", &|c| c.run.figures.slow.to_string());
    row("Last failure at", &|c| {
        optional(c.run.figures.last_failure_ns, milliseconds)
    });
    row("Death at", &|c| optional(c.run.death_ns, milliseconds));
    row("  received by it, unanswered", &|c| {
        optional(c.run.in_flight_on_victim, |calls| calls.to_string())
    });
    row("  evicted after", &|c| {
        optional(c.run.evicted_after_ns, |after| format!("{:.3} ms", ms(after)))
    });
    row("Wrongly taken for dead", &|c| {
        optional(c.run.wrongly_evicted, |times| times.to_string())
    });
    let longest = |c: &Compared, of: fn(&Recovery) -> Option<u64>| {
        let all: Option<Vec<_>> = c.run.recoveries.iter().map(of).collect();
        match all {
            None => "never".to_owned(),
            Some(all) => optional(all.into_iter().max(), milliseconds),
        }
    };
    row("Back: first answer after", &|c| longest(c, |it| it.first_answer_ns));
    row("  fair share after", &|c| longest(c, |it| it.fair_share_ns));
    row("Event to client p50/p99", &|c| {
        optional(c.run.event_to_client, |late| {
            format!("{:.1}/{:.1} us", us(late.p50_ns), us(late.p99_ns))
        })
    });
    row("Processed twice", &|c| c.run.tally.processed_twice.to_string());
    align(&rows) + &failures(runs)
}

fn optional<T>(value: Option<T>, show: impl Fn(T) -> String) -> String {
    value.map_or_else(|| "-".into(), show)
}

fn milliseconds(nanoseconds: u64) -> String {
    format!("{:.1} ms", ms(nanoseconds))
}

/// Labels to the left, cells to the right.
fn align(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(String::len)
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<_> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let _ = if column == 0 {
                write!(line, "{cell:<width$}")
            } else {
                write!(line, "  {cell:>width$}")
            };
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

/// How many failures of each kind, most first.
fn failures(runs: &[Compared]) -> String {
    let mut text = String::new();
    for Compared { run, .. } in runs {
        let mut kinds: Vec<_> = run.figures.failures.iter().collect();
        kinds.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        for (kind, count) in kinds {
            let _ = writeln!(text, "{} {}: {count} failed: {kind}", run.client, run.scenario);
        }
        if run.figures.hung > 0 {
            let _ = writeln!(
                text,
                "{} {}: {} hung: no answer and no error when the run was stopped",
                run.client, run.scenario, run.figures.hung
            );
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    fn row<'a>(text: &'a str, label: &str) -> &'a str {
        let line = text.lines().find(|line| line.starts_with(label));
        line.unwrap_or_else(|| panic!("no {label:?} in\n{text}"))[label.len()..].trim()
    }

    #[test]
    fn the_articles_form_comes_first() {
        let text = table(&[Compared {
            run: sample(),
            steady_ns: Some(4_000_000_000),
        }]);
        let labels: Vec<_> = text.lines().filter(|line| !line.starts_with(' ')).take(5).collect();
        for (line, label) in labels
            .iter()
            .zip(["Task", "Trail number", "Time elapsed", "Success/Fail", "Load Balance"])
        {
            assert!(line.starts_with(label), "{text}");
        }
        assert_eq!(row(&text, "Task"), "obit kill");
        assert_eq!(row(&text, "Success/Fail"), "149998/2");
        assert_eq!(row(&text, "  to its own steady run"), "1.050 x");
        assert_eq!(row(&text, "  pod-1"), "49998 (died)");
        assert_eq!(row(&text, "  of these hung"), "1, stopped");
        assert_eq!(row(&text, "Event to client p50/p99"), "60.5/410.0 us");
    }

    #[test]
    fn clients_stand_side_by_side_and_unknown_figures_are_dashes() {
        let mut other = sample();
        other.client = "tonic".into();
        (other.evicted_after_ns, other.event_to_client) = (None, None);
        let text = table(&[
            Compared {
                run: sample(),
                steady_ns: Some(4_000_000_000),
            },
            Compared {
                run: other,
                steady_ns: None,
            },
        ]);
        let cells = |label| {
            row(&text, label)
                .split("  ")
                .map(str::trim)
                .filter(|cell| !cell.is_empty())
                .collect::<Vec<_>>()
        };
        assert_eq!(cells("Task"), ["obit kill", "tonic kill"]);
        assert_eq!(cells("  evicted after"), ["0.350 ms", "-"]);
        assert_eq!(cells("Event to client p50/p99"), ["60.5/410.0 us", "-"]);
    }

    #[test]
    fn failures_are_named_by_their_text_and_hung_calls_too() {
        let text = table(&[Compared {
            run: sample(),
            steady_ns: None,
        }]);
        assert!(text.contains("obit kill: 1 failed: Unavailable: gone\n"), "{text}");
        assert!(
            text.contains("obit kill: 1 hung: no answer and no error when the run was stopped\n"),
            "{text}"
        );
    }
}
