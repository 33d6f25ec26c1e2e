//! Counts what comes of calls. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::lines::Figures;

/// Failures told apart; the rest are `other`.
const MOST_ERRORS: usize = 8;

/// Calls that ended.
#[derive(Debug)]
pub(super) struct Tally {
    ok: u64,
    failed: u64,
    slowest: Duration,
    /// Microseconds.
    times: Histogram<u64>,
    pods: BTreeMap<String, u64>,
    errors: BTreeMap<String, u64>,
}

impl Tally {
    pub(super) fn new() -> Self {
        Self {
            ok: 0,
            failed: 0,
            slowest: Duration::ZERO,
            times: Histogram::new(3).expect("three digits are allowed"),
            pods: BTreeMap::new(),
            errors: BTreeMap::new(),
        }
    }

    /// A call ended: with a pod's name, or with what went wrong.
    pub(super) fn ended(&mut self, result: &Result<String, String>, took: Duration) {
        match result {
            Ok(pod) => {
                self.ok += 1;
                *self.pods.entry(pod.clone()).or_default() += 1;
            }
            Err(error) => {
                self.failed += 1;
                let known = self.errors.len() < MOST_ERRORS || self.errors.contains_key(error);
                let error = if known { error } else { "other" };
                *self.errors.entry(error.to_owned()).or_default() += 1;
            }
        }
        self.slowest = self.slowest.max(took);
        // It grows as it needs; only what does not fit 64 bits is refused.
        let _ = self.times.record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }

    /// The figures, with the waiting times of the calls that have not ended.
    pub(super) fn figures(&self, waiting: &[Duration]) -> Figures {
        Figures {
            ok: self.ok,
            failed: self.failed,
            in_flight: waiting.len() as u64,
            oldest_ms: ms(waiting.iter().copied().max().unwrap_or_default()),
            slowest_ms: ms(self.slowest),
            p50_ms: ms(Duration::from_micros(self.times.value_at_quantile(0.5))),
            p99_ms: ms(Duration::from_micros(self.times.value_at_quantile(0.99))),
            pods: self.pods.clone(),
            errors: self.errors.clone(),
        }
    }
}

/// To a hundredth of a millisecond.
fn ms(time: Duration) -> f64 {
    (time.as_secs_f64() * 100_000.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(text: &str) -> Result<String, String> {
        Err(text.to_owned())
    }

    #[test]
    fn answers_count_for_their_pod_and_failures_by_their_text() {
        let mut tally = Tally::new();
        for ms in 1..=99 {
            tally.ended(&Ok("a".to_owned()), Duration::from_millis(ms));
        }
        tally.ended(&failure("gone"), Duration::from_secs(3));
        let figures = tally.figures(&[Duration::from_millis(5), Duration::from_millis(250)]);
        assert_eq!((figures.ok, figures.failed), (99, 1));
        assert_eq!((figures.in_flight, figures.oldest_ms), (2, 250.0));
        assert_eq!(figures.slowest_ms, 3_000.0);
        assert!((49.0..=51.0).contains(&figures.p50_ms), "{}", figures.p50_ms);
        assert!((98.0..=100.0).contains(&figures.p99_ms), "{}", figures.p99_ms);
        assert_eq!(figures.pods, BTreeMap::from([("a".to_owned(), 99)]));
        assert_eq!(figures.errors, BTreeMap::from([("gone".to_owned(), 1)]));
    }

    #[test]
    fn failures_of_many_kinds_are_bounded() {
        let mut tally = Tally::new();
        for kind in 0..100 {
            tally.ended(&failure(&kind.to_string()), Duration::ZERO);
        }
        tally.ended(&failure("3"), Duration::ZERO);
        let figures = tally.figures(&[]);
        assert_eq!(figures.errors.len(), MOST_ERRORS + 1);
        assert_eq!((figures.errors["3"], figures.errors["other"]), (2, 92));
    }

    #[test]
    fn nothing_is_zero() {
        assert_eq!(Tally::new().figures(&[]), Figures::default());
    }
}
