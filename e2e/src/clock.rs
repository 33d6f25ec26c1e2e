//! This crate's one clock.

use std::time::Instant;

use rustix::time::{ClockId, clock_gettime};

/// Now, for deadlines and for how long something took.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// `CLOCK_MONOTONIC`, in nanoseconds: the same in every process of this kernel, in pods of our own cluster too, so what was
/// done here and what an application saw there can be compared.
#[allow(dead_code, reason = "for the cases")]
pub(crate) fn monotonic_ns() -> u64 {
    nanoseconds(ClockId::Monotonic)
}

/// Nanoseconds since 1970: comparable with what was seen on another machine as far as the two clocks agree.
#[allow(dead_code, reason = "for the cases")]
pub(crate) fn realtime_ns() -> u64 {
    nanoseconds(ClockId::Realtime)
}

fn nanoseconds(clock: ClockId) -> u64 {
    let now = clock_gettime(clock);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    let nanoseconds = u64::try_from(now.tv_nsec).unwrap_or(0);
    seconds * 1_000_000_000 + nanoseconds
}
