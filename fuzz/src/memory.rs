//! How much memory a step takes.

use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATED: PeakAlloc = PeakAlloc;

/// Runs `step` and says how many bytes it had allocated at most, beyond what was allocated before.
pub(crate) fn peak_of<T>(step: impl FnOnce() -> T) -> (T, usize) {
    let before = ALLOCATED.current_usage();
    ALLOCATED.reset_peak_usage();
    let result = step();
    (result, ALLOCATED.peak_usage().saturating_sub(before))
}
