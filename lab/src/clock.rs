//! The lab's one clock: `CLOCK_MONOTONIC`, the same in every process and namespace of this kernel and in its records,
//! so a kill in the orchestrator, a call in the client and a sighting in the kernel can be compared.

use rustix::time::{ClockId, clock_gettime};
use tokio::time::Instant;

/// `CLOCK_MONOTONIC` now, in nanoseconds.
#[must_use]
pub fn monotonic_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    let nanoseconds = u64::try_from(now.tv_nsec).unwrap_or(0);
    seconds * 1_000_000_000 + nanoseconds
}

/// Now on the clock of the runtime's timers.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the timers' clock")]
pub(crate) fn timer_now() -> Instant {
    Instant::now()
}
