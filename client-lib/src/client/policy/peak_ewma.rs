//! The endpoint that would answer first, by what it took lately and what it has to do.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::shares::{Shares, halves};
use super::{Call, Candidate, Picker, Policy};

/// Power of two choices on expected latency: the moving average of the time to the response head, times the calls in
/// flight and this one, in relation to the weight.
///
/// A slow answer raises the average at once, and only time brings it down again, so an endpoint that stutters is left alone
/// before its queue grows. Take it where endpoints differ in speed or distance, or have bad moments; where errors come
/// faster than answers it prefers who errs. Follows Finagle's and linkerd's balancer of the same name. A pick costs two
/// looks and one reading of the clock; each call costs two more readings.
#[derive(Debug, Clone, Copy)]
pub struct PeakEwma {
    decay: Duration,
}

impl PeakEwma {
    /// What is older than `decay` has lost all but 1/e of its say.
    #[must_use]
    pub fn decaying_in(decay: Duration) -> Self {
        Self { decay }
    }
}

impl Default for PeakEwma {
    /// Ten seconds, as in Finagle and linkerd.
    fn default() -> Self {
        Self::decaying_in(Duration::from_secs(10))
    }
}

impl Policy for PeakEwma {
    fn prepare(&self, candidates: Arc<[Candidate]>, _: Instant) -> Box<dyn Picker> {
        Box::new(Fastest {
            shares: Shares::of(&candidates),
            candidates,
        })
    }

    fn measures(&self) -> Option<Duration> {
        Some(self.decay)
    }
}

#[derive(Debug)]
struct Fastest {
    candidates: Arc<[Candidate]>,
    shares: Shares,
}

/// What waiting calls cost where no answer has come yet: more than any average, so that an unknown endpoint gets one call,
/// and the next when that is answered.
const UNKNOWN: f32 = 1e18;

impl Fastest {
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    fn cost(&self, index: usize, now: Instant) -> f32 {
        let candidate = &self.candidates[index];
        let (latency, in_flight) = (candidate.latency_ns(now), candidate.in_flight() as f32);
        let cost = if latency > 0.0 {
            latency * (in_flight + 1.0)
        } else {
            UNKNOWN * in_flight
        };
        cost / candidate.weight() as f32
    }
}

impl Picker for Fastest {
    fn pick(&self, call: &Call<'_>) -> usize {
        let (one, other) = halves(call.random());
        let one = self.shares.draw(one);
        let other = self.shares.draw_other(one, other);
        let now = call.now();
        if self.cost(other, now) < self.cost(one, now) {
            other
        } else {
            one
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::fixture::{Scripted, assert_shares, head, measured};
    use super::*;

    /// Calls one after the other at endpoints that take so long; how many each got.
    fn answered(latencies: &[u64], seed: u64, calls: usize) -> Vec<usize> {
        let (outside, head) = (Scripted::seeded(seed), head());
        let candidates = measured(latencies.len(), Duration::from_secs(10), outside.now.get());
        let picker = PeakEwma::default().prepare(candidates.clone(), outside.now.get());
        let mut shares = vec![0; latencies.len()];
        for _ in 0..calls {
            let index = picker.pick(&Call::new(&head, &outside));
            let latency = Duration::from_millis(latencies[index]);
            outside.pass(latency);
            candidates[index]
                .load
                .average()
                .unwrap()
                .answered(latency, outside.now.get());
            shares[index] += 1;
        }
        shares
    }

    proptest! {
        #[test]
        fn the_slow_one_of_many_is_asked_now_and_then_only(seed: u64, endpoints in 3_usize..10) {
            let mut latencies = vec![5; endpoints];
            latencies[0] = 500;
            let shares = answered(&latencies, seed, 2000);
            prop_assert!((1..=20).contains(&shares[0]), "{:?}", shares);
        }
    }

    #[test]
    fn an_unknown_endpoint_gets_one_call_until_it_answers() {
        let (outside, head) = (Scripted::seeded(1), head());
        let now = outside.now.get();
        let candidates = measured(2, Duration::from_secs(10), now);
        candidates[0]
            .load
            .average()
            .unwrap()
            .answered(Duration::from_secs(1), now);
        let picker = PeakEwma::default().prepare(candidates.clone(), now);
        assert_eq!(picker.pick(&Call::new(&head, &outside)), 1);
        candidates[1].begin();
        assert_eq!(picker.pick(&Call::new(&head, &outside)), 0);
        candidates[1]
            .load
            .average()
            .unwrap()
            .answered(Duration::from_millis(1), now);
        assert_eq!(picker.pick(&Call::new(&head, &outside)), 1);
    }

    #[test]
    fn endpoints_alike_get_like_shares() {
        assert_shares(&answered(&[5; 8], 3, 8000), &[1; 8], 10.0);
    }
}
