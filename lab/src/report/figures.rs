//! The figures of one run, all derived from its trace.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::workload::{Call, Outcome};

/// A call slower than this is counted: one second, the patience of a reader.
const SLOW_NS: u64 = 1_000_000_000;

/// What a client made of a run. Times are nanoseconds.
#[derive(Debug, Clone, PartialEq)]
pub struct Figures {
    /// From the start of the workload to the end of its last call.
    pub elapsed_ns: u64,
    /// Calls answered.
    pub success: u64,
    /// Calls failed, hung ones included.
    pub fail: u64,
    /// Calls that had not ended when the run was stopped.
    pub hung: u64,
    /// Calls answered by each pod.
    pub load_balance: BTreeMap<String, u64>,
    /// Failed calls by error text, hung ones not included.
    pub failures: BTreeMap<String, u64>,
    /// How long calls took, whatever became of them; a hung call took until the run was stopped.
    pub latency: Quantiles,
    /// When the last call failed, after the start.
    pub last_failure_ns: Option<u64>,
    /// Calls that took more than a second.
    pub slow: u64,
}

/// Quantiles of a set of durations, nanoseconds, to three significant digits; the maximum is exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Quantiles {
    /// How many.
    pub count: u64,
    /// The median.
    pub p50_ns: u64,
    /// 99 %.
    pub p99_ns: u64,
    /// 99.9 %.
    pub p999_ns: u64,
    /// The largest.
    pub max_ns: u64,
}

impl Quantiles {
    /// The quantiles of `durations`; `None` of nothing.
    pub fn of(durations: impl IntoIterator<Item = u64>) -> Option<Self> {
        let mut max_ns = 0;
        let mut histogram = Histogram::<u64>::new(3).ok()?;
        for duration in durations {
            max_ns = max_ns.max(duration);
            // Not saturating_record: it would not grow the histogram. Recording fails only above 2^62 ns, 146 years.
            let _ = histogram.record(duration.max(1));
        }
        // A bucket's upper end may lie above the largest value in it.
        let at = |quantile| histogram.value_at_quantile(quantile).min(max_ns);
        (!histogram.is_empty()).then(|| Self {
            count: histogram.len(),
            p50_ns: at(0.5),
            p99_ns: at(0.99),
            p999_ns: at(0.999),
            max_ns,
        })
    }
}

impl Figures {
    /// The figures of `calls`, started at `start_ns`, between pods called `pods`. `classes` are the error texts.
    #[must_use]
    pub fn of(calls: &[Call], start_ns: u64, pods: &[String], classes: &[String]) -> Self {
        let mut figures = Self {
            elapsed_ns: calls
                .iter()
                .map(|call| call.end_ns)
                .max()
                .unwrap_or(start_ns)
                .saturating_sub(start_ns),
            success: 0,
            fail: 0,
            hung: 0,
            load_balance: pods.iter().map(|pod| (pod.clone(), 0)).collect(),
            failures: BTreeMap::new(),
            latency: Quantiles::of(calls.iter().map(Call::took_ns)).unwrap_or_default(),
            last_failure_ns: None,
            slow: 0,
        };
        let name = |names: &[String], number: u8, what: &str| {
            names
                .get(usize::from(number))
                .cloned()
                .unwrap_or_else(|| format!("{what} {number}"))
        };
        for call in calls {
            figures.slow += u64::from(call.took_ns() > SLOW_NS);
            match call.outcome {
                Outcome::Answered(pod) => {
                    figures.success += 1;
                    *figures.load_balance.entry(name(pods, pod, "pod")).or_default() += 1;
                    continue;
                }
                Outcome::Failed(class) => *figures.failures.entry(name(classes, class, "class")).or_default() += 1,
                Outcome::Hung => figures.hung += 1,
            }
            figures.fail += 1;
            figures.last_failure_ns = figures.last_failure_ns.max(Some(call.end_ns.saturating_sub(start_ns)));
        }
        figures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(start_ns: u64, end_ns: u64, outcome: Outcome) -> Call {
        Call {
            start_ns,
            end_ns,
            outcome,
        }
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn every_call_is_a_success_or_a_failure_and_hung_calls_are_failures() {
        let calls = [
            call(100, 110, Outcome::Answered(0)),
            call(100, 120, Outcome::Answered(0)),
            call(110, 150, Outcome::Failed(0)),
            call(120, 130, Outcome::Failed(0)),
            call(150, 2_000_000_150, Outcome::Hung),
        ];
        let figures = Figures::of(&calls, 100, &names(&["pod-0", "pod-1"]), &names(&["reset"]));
        assert_eq!(
            (figures.success, figures.fail, figures.hung, figures.slow),
            (2, 3, 1, 1)
        );
        assert_eq!(
            figures.load_balance,
            BTreeMap::from([("pod-0".into(), 2), ("pod-1".into(), 0)])
        );
        assert_eq!(figures.failures, BTreeMap::from([("reset".into(), 2)]));
        assert_eq!(figures.elapsed_ns, 2_000_000_050);
        assert_eq!(figures.last_failure_ns, Some(2_000_000_050));
    }

    #[test]
    fn the_last_failure_is_the_one_that_ended_last() {
        let calls = [
            call(0, 90, Outcome::Failed(0)),
            call(10, 20, Outcome::Failed(0)),
            call(95, 99, Outcome::Answered(0)),
        ];
        assert_eq!(Figures::of(&calls, 0, &[], &[]).last_failure_ns, Some(90));
        assert_eq!(Figures::of(&calls[2..], 0, &[], &[]).last_failure_ns, None);
    }

    #[test]
    fn quantiles_are_within_a_thousandth_and_the_maximum_is_exact() {
        let quantiles = Quantiles::of((1..=100_000).map(|number| number * 1_000)).unwrap();
        for (value, truth) in [
            (quantiles.p50_ns, 50_000_000),
            (quantiles.p99_ns, 99_000_000),
            (quantiles.p999_ns, 99_900_000_u64),
        ] {
            assert!(value.abs_diff(truth) <= truth / 1_000, "{value} is not {truth}");
        }
        assert_eq!((quantiles.count, quantiles.max_ns), (100_000, 100_000_000));
        assert_eq!(Quantiles::of([]), None);
    }

    #[test]
    fn one_call_is_every_quantile() {
        let quantiles = Quantiles::of([123_456_789]).unwrap();
        assert_eq!(quantiles.p50_ns, 123_456_789);
        assert_eq!(quantiles.max_ns, 123_456_789);
    }
}
