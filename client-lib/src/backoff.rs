//! The pauses between attempts that fail: to reach the monitor, to dial an endpoint, to look a name up. Pure: the caller brings
//! the randomness.

use std::time::Duration;

/// Pauses that double from the first to the longest, each shortened by up to half so that a node's clients do not come back
/// as one.
#[derive(Debug, Clone)]
pub(crate) struct Backoff {
    first: Duration,
    longest: Duration,
    next: Duration,
}

impl Backoff {
    pub(crate) fn new(first: Duration, longest: Duration) -> Self {
        let first = first.min(longest);
        Self {
            first,
            longest,
            next: first,
        }
    }

    /// The next pause; `random` is uniform in 0..1, and 0 for the whole of it.
    pub(crate) fn pause(&mut self, random: f64) -> Duration {
        let base = self.next;
        self.next = base.saturating_mul(2).min(self.longest);
        base.mul_f64(1.0 - random.clamp(0.0, 1.0) / 2.0)
    }

    /// It went well: after the next failure the first pause comes again.
    pub(crate) fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_begin_again_after_a_success() {
        let mut backoff = Backoff::new(Duration::from_millis(10), Duration::from_millis(250));
        let pauses: Vec<_> = (0..7).map(|_| backoff.pause(0.0).as_millis()).collect();
        assert_eq!(pauses, [10, 20, 40, 80, 160, 250, 250]);
        backoff.reset();
        assert_eq!(backoff.pause(1.0), Duration::from_millis(5));
    }

    #[test]
    fn the_first_pause_is_no_longer_than_the_longest() {
        let mut backoff = Backoff::new(Duration::from_millis(250), Duration::from_millis(10));
        assert_eq!(backoff.pause(0.0), Duration::from_millis(10));
        assert_eq!(backoff.pause(0.0), Duration::from_millis(10));
    }

    proptest! {
        #[test]
        fn no_pause_is_outside_its_bounds(randoms in prop::collection::vec(0.0f64..1.0, 1..40)) {
            let (first, longest) = (Duration::from_millis(10), Duration::from_millis(250));
            let mut backoff = Backoff::new(first, longest);
            for random in randoms {
                let pause = backoff.pause(random);
                prop_assert!(pause >= first / 2 && pause <= longest, "{pause:?}");
            }
        }
    }
}
