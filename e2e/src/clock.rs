//! This crate's one clock.

use std::time::Instant;

use rustix::time::{ClockId, clock_gettime};

/// Now, for deadlines and for how long something took.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Nanoseconds since 1970: comparable with what was seen on another machine as far as the two clocks agree.
pub(crate) fn realtime_ns() -> u64 {
    let now = clock_gettime(ClockId::Realtime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    let nanoseconds = u64::try_from(now.tv_nsec).unwrap_or(0);
    seconds * 1_000_000_000 + nanoseconds
}
