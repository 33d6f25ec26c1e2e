//! How long a handshake may take before we doubt the endpoint: learnt from the handshakes that completed. Pure.

use std::time::Duration;

/// While nothing is known.
const COLD: Duration = Duration::from_millis(50);
const LEAST: Duration = Duration::from_millis(20);
const MOST: Duration = Duration::from_millis(250);

/// Jacobson and Karels' estimator (RFC 6298 §2) over handshake times.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Handshakes {
    smoothed: Option<(Duration, Duration)>,
}

impl Handshakes {
    /// One handshake completed after `rtt`.
    pub(crate) fn completed(&mut self, rtt: Duration) {
        self.smoothed = Some(match self.smoothed {
            None => (rtt, rtt / 2),
            Some((mean, deviation)) => ((mean * 7 + rtt) / 8, (deviation * 3 + mean.abs_diff(rtt)) / 4),
        });
    }

    /// No answer within this: doubtful.
    pub(crate) fn bound(&self) -> Duration {
        self.smoothed
            .map_or(COLD, |(mean, deviation)| (mean + deviation * 4).clamp(LEAST, MOST))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_fast_network_is_given_the_least_and_an_unknown_one_the_cold_bound() {
        let mut handshakes = Handshakes::default();
        assert_eq!(handshakes.bound(), COLD);
        handshakes.completed(Duration::from_micros(200));
        assert_eq!(handshakes.bound(), LEAST);
    }

    proptest! {
        #[test]
        fn the_bound_is_above_every_steady_network_within_its_limits(rtt_us in 1_u64..2_000_000) {
            let mut handshakes = Handshakes::default();
            for _ in 0..50 {
                handshakes.completed(Duration::from_micros(rtt_us));
                prop_assert!((LEAST..=MOST).contains(&handshakes.bound()));
            }
            prop_assert!(handshakes.bound() >= Duration::from_micros(rtt_us).min(MOST));
        }
    }
}
