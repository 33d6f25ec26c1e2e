//! A client that nobody calls lets its connections go, and dials again with the next call.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::watch;

use super::Pool;

/// Looks at the clients' use within an idle timeout: it is late by such a part of it at most.
const LOOKS: u32 = 8;

/// Whether a client is used, and whether it sleeps.
#[derive(Debug)]
pub(super) struct Slumber {
    /// Whether a call began since this was last looked at.
    used: AtomicBool,
    asleep: watch::Sender<bool>,
}

impl Default for Slumber {
    fn default() -> Self {
        Self {
            used: AtomicBool::new(true),
            asleep: watch::Sender::new(false),
        }
    }
}

impl Slumber {
    /// A call begins.
    fn stir(&self) {
        // Looked at before it is written: the flag's cache line stays shared between threads.
        if !self.used.load(Ordering::SeqCst) {
            self.used.store(true, Ordering::SeqCst);
        }
        if *self.asleep.borrow() {
            self.asleep.send_replace(false);
        }
    }

    fn was_used(&self) -> bool {
        self.used.swap(false, Ordering::SeqCst)
    }

    /// Falls asleep, unless a call began meanwhile.
    fn fall_asleep(&self) {
        self.asleep.send_replace(true);
        if self.used.load(Ordering::SeqCst) {
            self.asleep.send_replace(false);
        }
    }

    async fn is(&self, asleep: bool) {
        // The sender is here, so it never ends.
        let _ = self.asleep.subscribe().wait_for(|now| *now == asleep).await;
    }
}

impl Pool {
    /// A call begins: connections are wanted from now on.
    pub(crate) fn stir(&self) {
        if self.settings.idle_timeout.is_some() {
            self.slumber.stir();
        }
    }

    /// Waits until nobody has used the client for its idle timeout. Cancel safe.
    pub(super) async fn falls_asleep(&self) {
        match self.settings.idle_timeout {
            Some(_) => self.slumber.is(true).await,
            None => std::future::pending().await,
        }
    }

    /// Waits while the client sleeps. Cancel safe.
    pub(super) async fn is_awake(&self) {
        self.slumber.is(false).await;
    }

    /// Lets the client fall asleep when it was not used for its idle timeout. Lives until dropped.
    pub(super) async fn watch_use(&self) {
        let Some(timeout) = self.settings.idle_timeout else {
            return std::future::pending().await;
        };
        let look = (timeout / LOOKS).max(Duration::from_millis(1));
        let mut idle = Duration::ZERO;
        loop {
            tokio::time::sleep(look).await;
            if self.slumber.was_used() || self.in_flight() > 0 {
                idle = Duration::ZERO;
            } else {
                idle = idle.saturating_add(look);
            }
            if idle >= timeout {
                self.slumber.fall_asleep();
                self.is_awake().await;
                idle = Duration::ZERO;
            }
        }
    }

    fn in_flight(&self) -> usize {
        self.snapshot().iter().map(|status| status.in_flight).sum::<usize>() + self.waiting()
    }
}

#[cfg(test)]
mod tests {
    use tokio_test::{assert_pending, assert_ready, task};

    use super::*;

    #[test]
    fn a_call_wakes_a_sleeper_and_keeps_one_awake_that_would_fall_asleep() {
        let slumber = Slumber::default();
        assert!(slumber.was_used());
        slumber.fall_asleep();
        let mut awake = task::spawn(slumber.is(false));
        assert_pending!(awake.poll());
        slumber.stir();
        assert_ready!(awake.poll());
        // It began between the look and the sleep.
        slumber.stir();
        slumber.fall_asleep();
        assert_ready!(task::spawn(slumber.is(false)).poll());
    }
}
