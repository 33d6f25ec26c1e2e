//! A run as one line of JSON, for programs.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Quantiles;
use crate::run::Run;
use crate::workload::ClientKind;

/// One client's line. `null` where a figure is unknown.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Line {
    /// The scenario's name.
    pub scenario: String,
    /// The client's name.
    pub client: String,
    /// From the start of the workload to the end of its last call.
    pub elapsed_ms: f64,
    /// Calls answered.
    pub success: u64,
    /// Calls failed, hung ones included.
    pub fail: u64,
    /// Calls answered by each pod.
    pub load_balance: Option<BTreeMap<String, u64>>,
    /// The median of all calls.
    pub p50_ms: Option<f64>,
    /// 99 % of all calls.
    pub p99_ms: Option<f64>,
    /// 99.9 % of all calls.
    pub p999_ms: Option<f64>,
    /// The slowest call.
    pub max_ms: Option<f64>,
    /// When the last call failed, after the start.
    pub last_failure_ms: Option<f64>,
    /// `elapsed_ms` over the client's own steady run in the same invocation.
    pub steady_ratio: Option<f64>,
    /// From the death to the victim's departure from the client's rotation.
    pub evicted_after_ms: Option<f64>,
    /// How often the client took a pod for dead that was there; of clients that tell of it.
    pub wrongly_evicted: Option<u64>,
    /// From the end of what befell a pod, or its readiness, to its first answer to a call made after it: the longest.
    pub first_answer_after_ms: Option<f64>,
    /// From there to the end of the first tenth of a second in which it had its fair share of the answers: the longest.
    pub fair_share_after_ms: Option<f64>,
    /// How many pods' trouble ended and did not get their fair share again.
    pub unrecovered: u64,
    /// From the kernel's event to the notice handled in the client, median.
    pub event_to_client_us_p50: Option<f64>,
    /// The same, 99 %.
    pub event_to_client_us_p99: Option<f64>,
}

/// Nanoseconds as milliseconds, to the microsecond.
#[expect(clippy::cast_precision_loss, reason = "a run takes less than 2^53 ns")]
pub(super) fn ms(nanoseconds: u64) -> f64 {
    (nanoseconds as f64 / 1e3).round() / 1e3
}

/// Nanoseconds as microseconds, to a tenth.
#[expect(clippy::cast_precision_loss, reason = "a run takes less than 2^53 ns")]
pub(super) fn us(nanoseconds: u64) -> f64 {
    (nanoseconds as f64 / 1e2).round() / 1e1
}

/// `elapsed_ns` over `steady_ns`, to a thousandth.
#[expect(clippy::cast_precision_loss, reason = "a run takes less than 2^53 ns")]
pub(super) fn ratio(elapsed_ns: u64, steady_ns: u64) -> f64 {
    (elapsed_ns as f64 / steady_ns as f64 * 1e3).round() / 1e3
}

impl Line {
    /// The line of `run`; `steady_ns` is how long the client's own steady run took.
    #[must_use]
    pub fn of(run: &Run, steady_ns: Option<u64>) -> Self {
        let figures = &run.figures;
        let latency = (figures.latency.count > 0).then_some(figures.latency);
        Self {
            scenario: run.scenario.as_str().into(),
            client: run.client.as_str().into(),
            elapsed_ms: ms(figures.elapsed_ns),
            success: figures.success,
            fail: figures.fail,
            load_balance: Some(figures.load_balance.clone()),
            p50_ms: latency.map(|latency| ms(latency.p50_ns)),
            p99_ms: latency.map(|latency| ms(latency.p99_ns)),
            p999_ms: latency.map(|latency| ms(latency.p999_ns)),
            max_ms: latency.map(|latency| ms(latency.max_ns)),
            last_failure_ms: figures.last_failure_ns.map(ms),
            steady_ratio: steady_ns.map(|steady| ratio(figures.elapsed_ns, steady)),
            evicted_after_ms: run.evicted_after_ns.map(ms),
            wrongly_evicted: run.wrongly_evicted,
            first_answer_after_ms: run.recoveries.iter().filter_map(|it| it.first_answer_ns).max().map(ms),
            fair_share_after_ms: run.recoveries.iter().filter_map(|it| it.fair_share_ns).max().map(ms),
            unrecovered: run.recoveries.iter().filter(|it| it.fair_share_ns.is_none()).count() as u64,
            event_to_client_us_p50: run.event_to_client.map(|late| us(late.p50_ns)),
            event_to_client_us_p99: run.event_to_client.map(|late| us(late.p99_ns)),
        }
    }

    /// The line of a series of deaths without a workload: those noticed and those missed.
    #[must_use]
    pub fn of_latency(
        client: ClientKind,
        elapsed_ns: u64,
        noticed: u64,
        missed: u64,
        event_to_client: Option<Quantiles>,
    ) -> Self {
        Self {
            scenario: "latency".into(),
            client: client.name().into(),
            elapsed_ms: ms(elapsed_ns),
            success: noticed,
            fail: missed,
            load_balance: None,
            p50_ms: None,
            p99_ms: None,
            p999_ms: None,
            max_ms: None,
            last_failure_ms: None,
            steady_ratio: None,
            evicted_after_ms: None,
            wrongly_evicted: None,
            first_answer_after_ms: None,
            fair_share_after_ms: None,
            unrecovered: 0,
            event_to_client_us_p50: event_to_client.map(|late| us(late.p50_ns)),
            event_to_client_us_p99: event_to_client.map(|late| us(late.p99_ns)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn a_line_has_exactly_the_agreed_keys_in_their_order() {
        let text = serde_json::to_string(&Line::of(&sample(), Some(4_000_000_000))).unwrap();
        assert!(!text.contains('\n'));
        let order = [
            "scenario",
            "client",
            "elapsed_ms",
            "success",
            "fail",
            "load_balance",
            "p50_ms",
            "p99_ms",
            "p999_ms",
            "max_ms",
            "last_failure_ms",
            "steady_ratio",
            "evicted_after_ms",
            "wrongly_evicted",
            "first_answer_after_ms",
            "fair_share_after_ms",
            "unrecovered",
            "event_to_client_us_p50",
            "event_to_client_us_p99",
        ];
        let at: Vec<_> = order
            .iter()
            .map(|key| text.find(&format!("\"{key}\":")).unwrap())
            .collect();
        assert!(at.is_sorted(), "{text}");
        let parsed: BTreeMap<String, serde_json::Value> = serde_json::from_str(&text).unwrap();
        assert_eq!(parsed.len(), order.len(), "{text}");
    }

    #[test]
    fn what_is_unknown_is_null() {
        let mut run = sample();
        (run.evicted_after_ns, run.event_to_client, run.figures.last_failure_ns) = (None, None, None);
        let line = serde_json::to_value(Line::of(&run, None)).unwrap();
        for key in [
            "last_failure_ms",
            "steady_ratio",
            "evicted_after_ms",
            "event_to_client_us_p50",
            "event_to_client_us_p99",
        ] {
            assert!(line[key].is_null(), "{key}");
        }
    }

    #[test]
    fn units_are_what_the_keys_say() {
        let line = Line::of(&sample(), Some(4_000_000_000));
        assert!((line.elapsed_ms - 4_200.0).abs() < 1e-9, "{line:?}");
        assert_eq!(line.steady_ratio, Some(1.05));
        assert_eq!(line.evicted_after_ms, Some(0.35));
        assert_eq!(line.event_to_client_us_p50, Some(60.5));
    }
}
