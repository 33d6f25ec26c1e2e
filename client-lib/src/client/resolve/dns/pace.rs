//! When to look up again. Pure.

use std::time::Duration;

use crate::backoff::Backoff;

#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    pub(super) least: Duration,
    pub(super) most: Duration,
    pub(super) trouble: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            least: Duration::from_secs(1),
            most: Duration::from_secs(30),
            trouble: Duration::from_secs(1),
        }
    }
}

impl Pace {
    pub(super) fn after_answer(&self, ttl: Duration) -> Duration {
        ttl.clamp(self.least, self.most)
    }

    /// The pauses after failures: from a quarter of a second, doubling up to ten.
    pub(super) fn backoff(&self) -> Backoff {
        Backoff::new(Duration::from_millis(250), Duration::from_secs(10).min(self.most))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_kept_for_its_ttl_within_bounds() {
        let pace = Pace::default();
        assert_eq!(pace.after_answer(Duration::ZERO), Duration::from_secs(1));
        assert_eq!(pace.after_answer(Duration::from_secs(5)), Duration::from_secs(5));
        assert_eq!(pace.after_answer(Duration::from_secs(3600)), Duration::from_secs(30));
    }

    #[test]
    fn failures_are_retried_soon_and_then_less_often() {
        let mut backoff = Pace::default().backoff();
        let pauses: Vec<_> = (1..9).map(|_| backoff.pause(0.0).as_millis()).collect();
        assert_eq!(pauses, [250, 500, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000]);
    }
}
