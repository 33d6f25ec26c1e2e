//! The last ten seconds of calls and repeats, in buckets of one second. Pure.

use std::time::Duration;

const BUCKETS: usize = 10;
const BUCKET: Duration = Duration::from_secs(1);

/// How long a call counts.
pub(crate) const SPAN_SECS: u32 = 10;

#[derive(Debug, Clone, Copy, Default)]
struct Bucket {
    calls: u64,
    repeats: u64,
}

/// A sliding sum over [`SPAN_SECS`]. Times are measured from the window's birth and may repeat, never go back (a time
/// that does is taken as the newest seen).
#[derive(Debug, Default)]
pub(crate) struct Window {
    buckets: [Bucket; BUCKETS],
    newest: u64,
}

impl Window {
    fn at(&mut self, now: Duration) -> &mut Bucket {
        let index = u64::try_from(now.as_nanos() / BUCKET.as_nanos()).unwrap_or(u64::MAX);
        let index = index.max(self.newest);
        let stale = (index - self.newest).min(BUCKETS as u64);
        for step in 1..=stale {
            self.buckets[slot(self.newest + step)] = Bucket::default();
        }
        if stale == BUCKETS as u64 {
            self.buckets = Default::default();
        }
        self.newest = index;
        &mut self.buckets[slot(index)]
    }

    /// Counts `calls` calls made by `now`.
    pub(crate) fn calls(&mut self, now: Duration, calls: u64) {
        self.at(now).calls += calls;
    }

    /// Takes one repeat if the last ten seconds allow it: `ratio` of their calls and `reserve` besides.
    pub(crate) fn withdraw(&mut self, now: Duration, ratio: f64, reserve: f64) -> bool {
        self.at(now);
        let (calls, repeats) = self.buckets.iter().fold((0, 0), |(calls, repeats), bucket| {
            (calls + bucket.calls, repeats + bucket.repeats)
        });
        #[expect(clippy::cast_precision_loss, reason = "exact below 2^53 calls in ten seconds")]
        let allowed = calls as f64 * ratio + reserve;
        #[expect(clippy::cast_precision_loss, reason = "exact below 2^53 repeats in ten seconds")]
        let taken = (repeats + 1) as f64;
        if taken > allowed {
            return false;
        }
        self.at(now).repeats += 1;
        true
    }
}

fn slot(index: u64) -> usize {
    usize::try_from(index % BUCKETS as u64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn repeats_never_pass_the_share_of_calls_and_the_reserve(
            steps in proptest::collection::vec((0_u64..3_000, 0_u64..50, 0_u32..60), 1..80),
        ) {
            let mut window = Window::default();
            let (mut now, mut calls, mut repeats) = (Duration::ZERO, 0_u64, Vec::new());
            for (pause_ms, made, wanted) in steps {
                now += Duration::from_millis(pause_ms);
                window.calls(now, made);
                calls += made;
                for _ in 0..wanted {
                    if window.withdraw(now, 0.2, 100.0) {
                        repeats.push(now);
                    }
                }
                // Over any nine seconds: never more than the reserve and a fifth of all calls ever made.
                let recent = repeats.iter().filter(|at| **at + Duration::from_secs(9) > now).count();
                prop_assert!(recent as f64 <= 100.0 + 0.2 * calls as f64);
            }
        }

        #[test]
        fn everything_is_forgotten_after_the_span(calls in 0_u64..10_000, pause in 11_u64..1_000_000) {
            let mut window = Window::default();
            window.calls(Duration::ZERO, calls);
            let later = Duration::from_secs(pause);
            let mut granted = 0;
            while window.withdraw(later, 0.2, 7.0) {
                granted += 1;
            }
            prop_assert_eq!(granted, 7);
        }
    }

    #[test]
    fn a_time_that_goes_back_counts_as_the_newest() {
        let mut window = Window::default();
        window.calls(Duration::from_secs(100), 10);
        assert!(window.withdraw(Duration::from_secs(3), 0.2, 0.0));
    }
}
