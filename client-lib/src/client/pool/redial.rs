//! The pauses between dials of an endpoint that is out. Pure: the caller brings the randomness.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(50);
const MOST: Duration = Duration::from_secs(3);

/// Doubling pauses with jitter, capped so that a restarted pod is back within seconds without any monitor.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Redial {
    failures: u32,
}

impl Redial {
    /// The next pause; `random` is uniform in 0..1.
    pub(crate) fn pause(&mut self, random: f64) -> Duration {
        let base = FIRST.saturating_mul(1 << self.failures.min(16)).min(MOST);
        self.failures = self.failures.saturating_add(1);
        base.mul_f64(1.0 - random.clamp(0.0, 1.0) / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn pauses_grow_to_the_cap_and_never_beyond(randoms in proptest::collection::vec(0.0..1.0, 1..40)) {
            let mut redial = Redial::default();
            for (round, random) in randoms.into_iter().enumerate() {
                let pause = redial.pause(random);
                prop_assert!(pause >= FIRST / 2 && pause <= MOST);
                if round > 6 {
                    prop_assert!(pause >= MOST / 2);
                }
            }
        }
    }
}
