//! The latencies as text and as JSON.

use std::fmt::Write as _;

use super::{Death, Kind};
use crate::report::{Line, Quantiles};
use crate::workload::ClientKind;

/// What became of a series of deaths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Latency {
    /// How long the series took.
    pub elapsed_ns: u64,
    /// The series by kind of death.
    pub kinds: Vec<(Kind, Series)>,
    /// All kinds together.
    pub all: Series,
    /// Bare wake-ups between the deaths.
    pub bare: Series,
}

/// Deaths noticed and missed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Series {
    /// From the kernel's event to the client; `None` if every one was missed.
    pub late: Option<Quantiles>,
    /// Deaths no verdict came for.
    pub missed: u64,
}

impl Series {
    fn of<'a>(deaths: impl Iterator<Item = &'a Death> + Clone) -> Self {
        Self {
            late: Quantiles::of(deaths.clone().filter_map(|death| death.late_ns)),
            missed: deaths.filter(|death| death.late_ns.is_none()).count() as u64,
        }
    }

    fn noticed(&self) -> u64 {
        self.late.map_or(0, |late| late.count)
    }
}

impl Latency {
    /// Sorts `deaths` by kind.
    #[must_use]
    pub fn of(deaths: &[Death], elapsed_ns: u64) -> Self {
        let kinds = Kind::ALL.map(|kind| (kind, Series::of(deaths.iter().filter(move |death| death.kind == kind))));
        Self {
            elapsed_ns,
            kinds: kinds.into(),
            all: Series::of(deaths.iter()),
            bare: Series {
                late: Quantiles::of(deaths.iter().map(|death| death.bare_ns)),
                missed: 0,
            },
        }
    }
}

/// One row a kind.
#[must_use]
pub fn latency_table(latency: &Latency) -> String {
    let mut text = String::from("kernel event to client  noticed  missed       p50       p99       max\n");
    let rows = latency.kinds.iter().map(|(kind, series)| (kind.name(), series));
    for (name, series) in rows.chain([("all", &latency.all), ("one bare wake-up", &latency.bare)]) {
        let us = |of: fn(&Quantiles) -> u64| {
            series.late.as_ref().map_or("-".into(), |late| {
                let tenths = (of(late) + 50) / 100;
                format!("{}.{} us", tenths / 10, tenths % 10)
            })
        };
        let _ = writeln!(
            text,
            "{name:<22}  {:>7}  {:>6}  {:>9}  {:>9}  {:>9}",
            series.noticed(),
            series.missed,
            us(|late| late.p50_ns),
            us(|late| late.p99_ns),
            us(|late| late.max_ns)
        );
    }
    text.push_str(
        "(a SYN stall counts from the moment its threshold ran out; from a kernel's event to the client there are\n",
    );
    text.push_str("two wake-ups, and one bare one is what this machine took between the deaths)\n");
    text
}

/// The line of all kinds together: a death noticed is a success, one missed a failure.
#[must_use]
pub fn latency_line(latency: &Latency) -> Line {
    Line::of_latency(
        ClientKind::Obit,
        latency.elapsed_ns,
        latency.all.noticed(),
        latency.all.missed,
        latency.all.late,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Latency {
        let death = |kind, late_ns| Death {
            kind,
            late_ns,
            bare_ns: 20_000,
        };
        Latency::of(
            &[
                death(Kind::Refused, Some(40_000)),
                death(Kind::Refused, Some(60_000)),
                death(Kind::Reset, Some(50_000)),
                death(Kind::Closed, None),
                death(Kind::Stalled, Some(900_000)),
            ],
            2_000_000,
        )
    }

    #[test]
    fn each_kind_has_a_row_and_missed_deaths_are_counted() {
        let text = latency_table(&sample());
        let row = |name: &str| {
            let line = text.lines().find(|line| line.starts_with(name)).unwrap();
            line[22..].split_whitespace().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(row("refused"), "2 0 40.0 us 60.0 us 60.0 us");
        assert_eq!(row("FIN"), "0 1 - - -");
        assert_eq!(row("all"), "4 1 50.0 us 900.0 us 900.0 us");
        assert_eq!(row("one bare wake-up"), "5 0 20.0 us 20.0 us 20.0 us");
    }

    #[test]
    fn a_missed_death_is_a_failure_in_the_line() {
        let line = serde_json::to_value(latency_line(&sample())).unwrap();
        assert_eq!(
            (line["scenario"].as_str(), line["client"].as_str()),
            (Some("latency"), Some("obit"))
        );
        assert_eq!((line["success"].as_u64(), line["fail"].as_u64()), (Some(4), Some(1)));
        assert_eq!(line["event_to_client_us_p50"].as_f64(), Some(50.0));
        assert!(line["p50_ms"].is_null() && line["load_balance"].is_null());
    }
}
