//! The pauses between two attempts to reach the monitor. Pure: the caller brings the randomness.

use std::time::Duration;

/// Pauses that double from `min` to `max`, each shortened by up to half so that a node's clients do not come back as one.
#[derive(Debug, Clone)]
pub(super) struct Backoff {
    min: Duration,
    max: Duration,
    next: Duration,
}

impl Backoff {
    pub(super) fn new(min: Duration, max: Duration) -> Self {
        Self { min, max, next: min }
    }

    /// The next pause; `random` is uniform in 0..1.
    pub(super) fn pause(&mut self, random: f64) -> Duration {
        let base = self.next;
        self.next = (base * 2).min(self.max);
        base.mul_f64(1.0 - random.clamp(0.0, 1.0) / 2.0)
    }

    /// A session went well: the next loss begins from the shortest pause.
    pub(super) fn reset(&mut self) {
        self.next = self.min;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_begin_again_after_a_good_session() {
        let mut backoff = Backoff::new(Duration::from_millis(10), Duration::from_millis(250));
        let pauses: Vec<_> = (0..7).map(|_| backoff.pause(0.0).as_millis()).collect();
        assert_eq!(pauses, [10, 20, 40, 80, 160, 250, 250]);
        backoff.reset();
        assert_eq!(backoff.pause(1.0), Duration::from_millis(5));
    }

    proptest! {
        #[test]
        fn no_pause_is_outside_its_bounds(randoms in prop::collection::vec(0.0f64..1.0, 1..40)) {
            let (min, max) = (Duration::from_millis(10), Duration::from_millis(250));
            let mut backoff = Backoff::new(min, max);
            for random in randoms {
                let pause = backoff.pause(random);
                prop_assert!(pause >= min / 2 && pause <= max, "{pause:?}");
            }
        }
    }
}
