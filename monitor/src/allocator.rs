//! Gives memory back to the kernel that the C library keeps in case it is needed again. Stands before the data path: the
//! start reads all types of the kernel, and what that took would stay with the monitor as long as it runs.

/// Gives back every page of the heap that nothing is left in.
///
/// The C library does so by itself only for what lies at the heap's end, and what the start leaves behind lies there.
#[cfg(target_env = "gnu")]
#[expect(unsafe_code, reason = "no crate offers malloc_trim(3)")]
pub(crate) fn give_back() {
    // SAFETY: it touches only what the allocator holds as free, under the allocator's own locks.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Other C libraries give it back on their own.
#[cfg(not(target_env = "gnu"))]
pub(crate) fn give_back() {}

#[cfg(all(test, target_env = "gnu"))]
mod tests {
    use super::*;

    #[expect(clippy::unwrap_used, reason = "a helper of a test, where a panic is the report")]
    fn resident_kib() -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
        line.trim().strip_suffix("kB").unwrap().trim().parse().unwrap()
    }

    #[test]
    fn what_was_freed_below_something_that_stays_is_given_back() {
        // On this thread's own part of the heap, in pieces too small to be mapped one by one.
        let mut pieces: Vec<Box<[u8; 1024]>> = (0..64 * 1024).map(|_| Box::new([1; 1024])).collect();
        let stays = pieces.pop();
        drop(pieces);
        let before = resident_kib();
        give_back();
        let after = resident_kib();
        assert!(before > 48 * 1024, "the allocator gave it back by itself: {before} KiB");
        assert!(after + 48 * 1024 < before, "{before} KiB before, {after} KiB after");
        drop(stays);
    }
}
