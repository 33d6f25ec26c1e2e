//! Outlier ejection: endpoints that are up, and answer worse than the others. Pure but for the counters' atomics.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use http::{HeaderMap, StatusCode};
use tokio::sync::Notify;

/// When an endpoint that is up is taken out of rotation for its answers, and for how long.
///
/// A failure is a connection that ended under a call, a status of 500 and above, or, for gRPC, one of UNKNOWN, INTERNAL,
/// UNAVAILABLE and DATA_LOSS. The defaults are Envoy's. Below the client's panic floor, with fewer than half of the
/// endpoints in rotation, ejected ones take calls all the same.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct OutlierDetection {
    /// So many failures in a row; `None` does not count them. Default: 5.
    pub consecutive_failures: Option<u32>,
    /// How many standard deviations an endpoint's share of successes may be below the mean of all; `None` does not compare
    /// them. Default: 1.9.
    pub success_rate_deviations: Option<f64>,
    /// Compared are the calls of this time. Default: 10 s.
    pub interval: Duration,
    /// Only endpoints with so many calls within the interval are compared. Default: 100.
    pub min_calls: u32,
    /// Only so many endpoints or more are compared. Default: 5.
    pub min_endpoints: usize,
    /// The first ejection of an endpoint takes this long, each that follows soon as much longer. Default: 30 s.
    pub base_ejection: Duration,
    /// No ejection takes longer. Default: 300 s.
    pub max_ejection: Duration,
    /// No larger part of all endpoints is ejected at a time, but one always may be: 0 to 1. Default: 0.1.
    pub max_ejected: f64,
}

impl Default for OutlierDetection {
    fn default() -> Self {
        Self {
            consecutive_failures: Some(5),
            success_rate_deviations: Some(1.9),
            interval: Duration::from_secs(10),
            min_calls: 100,
            min_endpoints: 5,
            base_ejection: Duration::from_secs(30),
            max_ejection: Duration::from_secs(300),
            max_ejected: 0.1,
        }
    }
}

impl OutlierDetection {
    /// How many of `known` endpoints may be ejected at a time.
    pub(super) fn most_ejected(&self, known: usize) -> usize {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a part of a number of endpoints"
        )]
        let part = (self.max_ejected.clamp(0.0, 1.0) * known as f64) as usize;
        part.max(1)
    }

    /// How long an endpoint is out for the `times`th time.
    pub(super) fn ejection(&self, times: u32) -> Duration {
        self.base_ejection.saturating_mul(times.max(1)).min(self.max_ejection)
    }

    /// Which of these shares of successes is too low beside the others'.
    pub(super) fn too_low(&self, shares: &[f64]) -> Vec<bool> {
        let (Some(deviations), true) = (self.success_rate_deviations, shares.len() >= self.min_endpoints.max(2)) else {
            return vec![false; shares.len()];
        };
        #[expect(clippy::cast_precision_loss, reason = "a number of endpoints")]
        let count = shares.len() as f64;
        let mean = shares.iter().sum::<f64>() / count;
        let variance = shares.iter().map(|share| (share - mean).powi(2)).sum::<f64>() / count;
        let least = mean - deviations * variance.sqrt();
        shares.iter().map(|share| *share < least).collect()
    }
}

/// Whether the head of a response is a failure of its server.
pub(super) fn is_failure(status: StatusCode, headers: &HeaderMap) -> bool {
    // Of a gRPC response that is nothing but a failure, the status is in the head (trailers-only).
    let grpc = headers.get("grpc-status").map(|status| status.as_bytes());
    status.is_server_error() || matches!(grpc, Some(b"2" | b"13" | b"14" | b"15"))
}

/// The answers of one endpoint.
#[derive(Debug)]
pub(crate) struct Tally {
    /// So many failures in a row are one too many.
    bound: u32,
    in_a_row: AtomicU32,
    successes: AtomicU64,
    failures: AtomicU64,
    tripped: Notify,
}

impl Tally {
    pub(super) fn new(detection: &OutlierDetection) -> Self {
        Self {
            bound: detection.consecutive_failures.map_or(u32::MAX, |bound| bound.max(1)),
            in_a_row: AtomicU32::new(0),
            successes: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            tripped: Notify::new(),
        }
    }

    pub(super) fn succeeded(&self) {
        self.successes.fetch_add(1, Ordering::Relaxed);
        // Looked at before it is written: most endpoints never fail.
        if self.in_a_row.load(Ordering::Relaxed) != 0 {
            self.in_a_row.store(0, Ordering::Relaxed);
        }
    }

    pub(super) fn failed(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        if self.in_a_row.fetch_add(1, Ordering::Relaxed).saturating_add(1) >= self.bound {
            self.trip();
        }
    }

    /// Says that the endpoint is an outlier.
    pub(super) fn trip(&self) {
        self.tripped.notify_one();
    }

    /// Waits until the endpoint is an outlier, and begins to count anew. Cancel safe.
    pub(super) async fn tripped(&self) {
        self.tripped.notified().await;
        self.in_a_row.store(0, Ordering::Relaxed);
    }

    /// The share of successes since this was last asked, of that many calls or more.
    pub(super) fn share(&self, min_calls: u32) -> Option<f64> {
        let successes = self.successes.swap(0, Ordering::Relaxed);
        let calls = successes + self.failures.swap(0, Ordering::Relaxed);
        #[expect(clippy::cast_precision_loss, reason = "a number of calls")]
        let share = successes as f64 / calls.max(1) as f64;
        (calls >= u64::from(min_calls.max(1))).then_some(share)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio_test::{assert_pending, assert_ready, task};

    use super::*;

    #[test]
    fn failures_in_a_row_trip_and_a_success_between_them_does_not() {
        let tally = Tally::new(&OutlierDetection::default());
        let mut tripped = task::spawn(tally.tripped());
        for _ in 0..10 {
            (0..4).for_each(|_| tally.failed());
            tally.succeeded();
        }
        assert_pending!(tripped.poll());
        (0..5).for_each(|_| tally.failed());
        assert_ready!(tripped.poll());
        drop(tripped);
        let mut again = task::spawn(tally.tripped());
        (0..4).for_each(|_| tally.failed());
        assert_pending!(again.poll());
    }

    #[test]
    fn who_answers_worse_than_the_others_is_found() {
        let detection = OutlierDetection::default();
        assert_eq!(
            detection.too_low(&[0.99, 1.0, 0.98, 0.99, 0.60]),
            [false, false, false, false, true]
        );
        // All are bad: then it is not them.
        assert_eq!(detection.too_low(&[0.5; 5]), [false; 5]);
        assert_eq!(
            detection.too_low(&[1.0, 1.0, 1.0, 0.0]),
            [false; 4],
            "too few to compare"
        );
    }

    #[test]
    fn ejections_grow_and_are_bounded() {
        let detection = OutlierDetection::default();
        let seconds = [0, 1, 2, 3, 10, 11, u32::MAX].map(|times| detection.ejection(times).as_secs());
        assert_eq!(seconds, [30, 30, 60, 90, 300, 300, 300]);
    }

    #[test]
    fn shares_are_of_the_calls_since_the_last_look() {
        let tally = Tally::new(&OutlierDetection::default());
        (0..3).for_each(|_| tally.succeeded());
        tally.failed();
        assert_eq!(tally.share(4), Some(0.75));
        assert_eq!(tally.share(1), None);
    }

    #[test]
    fn a_grpc_status_is_a_failure_where_it_blames_the_server() {
        let head =
            |status: &'static str| HeaderMap::from_iter([("grpc-status".parse().unwrap(), status.parse().unwrap())]);
        for (status, expected) in [
            ("0", false),
            ("3", false),
            ("5", false),
            ("2", true),
            ("13", true),
            ("14", true),
            ("15", true),
        ] {
            assert_eq!(is_failure(StatusCode::OK, &head(status)), expected, "{status}");
        }
        assert!(is_failure(StatusCode::BAD_GATEWAY, &HeaderMap::new()));
        assert!(!is_failure(StatusCode::NOT_FOUND, &HeaderMap::new()));
    }

    proptest! {
        #[test]
        fn never_are_more_ejected_than_allowed_nor_none(known in 0_usize..10_000, part in -1.0..2.0) {
            let detection = OutlierDetection { max_ejected: part, ..OutlierDetection::default() };
            let most = detection.most_ejected(known);
            prop_assert!(most >= 1 && most <= known.max(1));
        }

        #[test]
        fn nobody_at_or_above_the_mean_is_too_low(shares in proptest::collection::vec(0.0..=1.0, 5..40)) {
            #[expect(clippy::cast_precision_loss, reason = "small")]
            let mean = shares.iter().sum::<f64>() / shares.len() as f64;
            let low = OutlierDetection::default().too_low(&shares);
            prop_assert!(shares.iter().zip(low).all(|(share, low)| !low || *share < mean));
        }
    }
}
