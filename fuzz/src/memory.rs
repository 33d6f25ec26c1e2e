//! How much memory a step takes.

use allocation_counter::measure;

/// Runs `step` and says how many bytes this thread had allocated at most, beyond what was allocated before. What other threads do
/// meanwhile, of tests or of their harness, is not counted.
pub(crate) fn peak_of<T>(step: impl FnOnce() -> T) -> (T, usize) {
    let mut result = None;
    let taken = measure(|| result = Some(step()));
    let Some(result) = result else {
        unreachable!("the step was run")
    };
    (result, usize::try_from(taken.bytes_max).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_at_once_is_counted() {
        let (kept, peak) = peak_of(|| {
            drop(vec![1_u8; 4_000]);
            vec![1_u8; 10_000]
        });
        assert_eq!((kept.len(), peak), (10_000, 10_000));
    }
}
