//! The purse shared by all calls of one client: what pays for repeating calls of unknown fate.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::window::{SPAN_SECS, Window};

/// How much of the traffic may be repeats: a share of the calls of the last ten seconds, and a floor.
///
/// The default, 20 % and 10 a second, is counted over a window of ten seconds and not second by second, because a
/// death is a burst: all calls in flight on the dead peer fail at once, and then none. The floor alone holds 100
/// repeats in reserve, and the calls in flight have themselves been counted, so that 500 calls in flight over five
/// endpoints carry the loss of any one of them (100 calls against 100 + 20 % of 500) even when they are the first calls
/// the client ever made. A backend that fails *everything* still sees at most 1.2 times its traffic.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RetryBudget {
    /// Repeats per call, 0.2 by default.
    pub ratio: f64,
    /// Repeats a second that are always allowed, 10 by default; saved up for ten seconds.
    pub per_second: f64,
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self {
            ratio: 0.2,
            per_second: 10.0,
        }
    }
}

/// How many calls are counted before they are entered into the window: the hot path is one addition.
const BATCH: u64 = 64;

/// The running budget. Times are measured from the client's birth.
#[derive(Debug)]
pub(crate) struct Budget {
    policy: RetryBudget,
    uncounted: AtomicU64,
    window: Mutex<Window>,
}

impl Budget {
    pub(crate) fn new(policy: RetryBudget) -> Self {
        Self {
            policy,
            uncounted: AtomicU64::new(0),
            window: Mutex::default(),
        }
    }

    /// Counts one call. `now` is asked only when a batch is entered.
    pub(crate) fn deposit(&self, now: impl FnOnce() -> Duration) {
        if self.uncounted.fetch_add(1, Ordering::Relaxed) % BATCH == BATCH - 1 {
            // Who finds the window busy leaves its batch to the next.
            if let Ok(mut window) = self.window.try_lock() {
                window.calls(now(), self.uncounted.swap(0, Ordering::Relaxed));
            }
        }
    }

    /// Takes one repeat, if there is one.
    pub(crate) fn withdraw(&self, now: Duration) -> bool {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        window.calls(now, self.uncounted.swap(0, Ordering::Relaxed));
        window.withdraw(now, self.policy.ratio, self.policy.per_second * f64::from(SPAN_SECS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_calls_ever_made_survive_the_death_of_one_endpoint_of_five() {
        let budget = Budget::new(RetryBudget::default());
        for _ in 0..500 {
            budget.deposit(|| Duration::ZERO);
        }
        let saved = (0..100).filter(|_| budget.withdraw(Duration::from_millis(1))).count();
        assert_eq!(saved, 100);
    }

    #[test]
    fn a_backend_that_fails_everything_sees_a_fifth_more() {
        let budget = Budget::new(RetryBudget {
            ratio: 0.2,
            per_second: 0.0,
        });
        let mut repeats = 0;
        for call in 0..10_000_u64 {
            let now = Duration::from_millis(call);
            budget.deposit(|| now);
            repeats += u32::from(budget.withdraw(now));
        }
        assert!((1_900..=2_000).contains(&repeats), "{repeats}");
    }
}
