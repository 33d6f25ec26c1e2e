//! Wakes the reader at a point in `CLOCK_MONOTONIC` time, by a timer of the kernel: tokio's own timers come up to two
//! milliseconds late, and a stalled dial is judged by this one.

use std::io;
use std::os::fd::OwnedFd;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::sighting::MonotonicNs;

const NS_PER_S: u64 = 1_000_000_000;

/// One timer, set anew for each wait.
#[derive(Debug)]
pub(super) struct Alarm {
    timer: AsyncFd<OwnedFd>,
}

impl Alarm {
    /// A timer in the current runtime.
    ///
    /// # Errors
    /// The kernel gives no timer, or the runtime does not take it.
    #[expect(unsafe_code, reason = "tokio asks for a promise about the file descriptor")]
    pub(super) fn new() -> io::Result<Self> {
        let timer = timerfd_create(
            TimerfdClockId::Monotonic,
            TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC,
        )?;
        // SAFETY: an `OwnedFd` always names the descriptor it owns, and is dropped after its registration.
        let timer = unsafe { AsyncFd::register_with_interest(timer, Interest::READABLE) }
            .map_err(|error| io::Error::other(error.to_string()))?;
        Ok(Self { timer })
    }

    /// Sets the alarm to `at` instead of whenever it was set to before. A time that has passed rings at once.
    pub(super) fn set(&mut self, at: MonotonicNs) -> io::Result<()> {
        // Nanosecond 0 would disarm the timer.
        let at = at.0.max(1);
        let when = |part: u64| i64::try_from(part).map_err(io::Error::other);
        let value = Timespec {
            tv_sec: when(at / NS_PER_S)?,
            tv_nsec: when(at % NS_PER_S)?,
        };
        let once = Itimerspec {
            it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
            it_value: value,
        };
        timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &once)?;
        Ok(())
    }

    /// Waits until the alarm rings; may return early, after an earlier alarm rang unheard.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(super) async fn rings(&mut self) -> io::Result<()> {
        // Setting the timer again clears what it counted, so nothing need be read from it.
        self.timer.readable().await?.clear_ready();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use std::time::Duration;

    #[tokio::test]
    async fn it_rings_at_its_time_and_again_when_set_again() {
        let mut alarm = Alarm::new().unwrap();
        for wait in [Duration::ZERO, Duration::from_millis(2), Duration::from_millis(3)] {
            let at = clock::monotonic() + wait;
            alarm.set(at).unwrap();
            while clock::monotonic() < at {
                alarm.rings().await.unwrap();
            }
        }
    }

    #[tokio::test]
    async fn an_alarm_set_anew_forgets_the_old_time() {
        let mut alarm = Alarm::new().unwrap();
        let now = clock::monotonic();
        alarm.set(now + Duration::from_secs(3_600)).unwrap();
        alarm.set(now).unwrap();
        alarm.rings().await.unwrap();
        assert!(clock::monotonic().since(now) < Duration::from_secs(60));
    }
}
