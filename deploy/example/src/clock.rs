//! The only place that reads clocks.

use rustix::time::{ClockId, clock_gettime};
use tokio::time::Instant;

/// Now on the clock of the runtime's timers.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the timers' clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Now by the wall clock, milliseconds since 1970.
pub(crate) fn unix_ms() -> u64 {
    let now = clock_gettime(ClockId::Realtime);
    let (seconds, nanoseconds) = (u64::try_from(now.tv_sec), u64::try_from(now.tv_nsec));
    seconds.unwrap_or(0).saturating_mul(1_000) + nanoseconds.unwrap_or(0) / 1_000_000
}
