//! The daemon's clock: the only place that reads one. Everything behind it gets `now` as an argument.

use rustix::time::{ClockId, clock_gettime};

use crate::sighting::MonotonicNs;

/// Now, on the clock of every kernel record.
#[must_use]
pub fn monotonic() -> MonotonicNs {
    let now = clock_gettime(ClockId::Monotonic);
    // Neither part is ever negative on this clock.
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    let nanoseconds = u64::try_from(now.tv_nsec).unwrap_or(0);
    MonotonicNs(seconds.saturating_mul(1_000_000_000).saturating_add(nanoseconds))
}

/// Now by the wall clock, milliseconds since 1970: for people, nothing is decided by it.
#[must_use]
pub fn unix_ms() -> u64 {
    let now = clock_gettime(ClockId::Realtime);
    let (seconds, nanoseconds) = (u64::try_from(now.tv_sec), u64::try_from(now.tv_nsec));
    seconds.unwrap_or(0).saturating_mul(1_000) + nanoseconds.unwrap_or(0) / 1_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_never_goes_back_and_has_nanoseconds() {
        let times: Vec<_> = (0..1_000).map(|_| monotonic()).collect();
        assert!(times.is_sorted());
        assert!(times.iter().any(|time| time.0 % 1_000 != 0));
    }
}
