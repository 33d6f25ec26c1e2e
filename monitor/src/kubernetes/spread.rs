//! What many monitors would otherwise ask for in the same second, because something befell them all at once: a node pool that
//! boots, an API server that comes back. Each draws its own time.

use std::time::Duration;

/// Before a way to the API is looked for again: between so much, in milliseconds, and so much.
const PAUSE_MS: std::ops::RangeInclusive<u64> = 2_500..=7_500;

/// How long a watch lasts before it is begun anew where it was, seconds: between so much and so much. An API that vanished without a word is
/// missed by then.
const WATCH_SECONDS: std::ops::RangeInclusive<u32> = 90..=150;

/// The pause before a way to the API is looked for again.
pub(super) fn pause() -> Duration {
    Duration::from_millis(fastrand::u64(PAUSE_MS))
}

/// How long this watch is to last, seconds.
pub(super) fn watch_seconds() -> u32 {
    fastrand::u32(WATCH_SECONDS)
}
