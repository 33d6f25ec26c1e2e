//! A map of the programs as memory of this process: read and written without a system call, at the price of a cache miss.

use std::fmt;
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::AsFd;
use std::ptr::{self, NonNull};
use std::sync::atomic::AtomicU64;

use aya::maps::{Map, MapData};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// An array map created with `BPF_F_MMAPABLE`, as words.
pub(super) struct SharedWords {
    start: NonNull<AtomicU64>,
    words: usize,
    mapped: NonZeroUsize,
    /// The map lives as long as its memory.
    _map: MapData,
}

impl SharedWords {
    /// Maps the first `words` words of an array map, each of whose values is a whole number of words.
    ///
    /// # Errors
    /// `InvalidInput` if this is no array map or has no words; otherwise what the kernel said.
    #[expect(unsafe_code, reason = "no crate maps an array map")]
    pub(super) fn new(map: Map, words: usize) -> io::Result<Self> {
        let (Map::Array(map), Some(mapped)) = (map, pages(words)) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        // SAFETY: a new mapping at a place the kernel chooses touches no memory of anyone. The kernel refuses lengths beyond
        // the map's own pages.
        let start = unsafe {
            mmap(
                ptr::null_mut(),
                mapped.get(),
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED,
                map.fd().as_fd(),
                0,
            )
        }?;
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::InvalidData)?;
        Ok(Self {
            start,
            words,
            mapped,
            _map: map,
        })
    }

    /// The words. The programs change them at any time.
    #[expect(unsafe_code, reason = "the memory is the kernel's, not the allocator's")]
    pub(super) fn words(&self) -> &[AtomicU64] {
        // SAFETY: the mapping is page-aligned, at least `words` words long, and lives as long as `self`. Whoever else changes
        // it does so word by word, and so does this process: they are atomics.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.words) }
    }
}

/// The whole pages that hold so many words, in bytes.
fn pages(words: usize) -> Option<NonZeroUsize> {
    let bytes = words.checked_mul(size_of::<u64>())?;
    NonZeroUsize::new(bytes.checked_next_multiple_of(rustix::param::page_size())?)
}

impl Drop for SharedWords {
    #[expect(unsafe_code, reason = "gives back what `new` mapped")]
    fn drop(&mut self) {
        // SAFETY: exactly the mapping of `new`; no reference into it outlives `self`.
        // It cannot fail for a mapping that exists.
        let _ = unsafe { munmap(self.start.as_ptr().cast(), self.mapped.get()) };
    }
}

#[expect(unsafe_code, reason = "a pointer to memory of nobody in particular")]
// SAFETY: the memory belongs to no thread, and only atomics in it are ever touched.
unsafe impl Send for SharedWords {}

#[expect(unsafe_code, reason = "a pointer to memory of nobody in particular")]
// SAFETY: as for `Send`.
unsafe impl Sync for SharedWords {}

impl fmt::Debug for SharedWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SharedWords").field(&self.words()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::pages;

    #[test]
    fn words_take_whole_pages() {
        let page = rustix::param::page_size();
        assert_eq!(pages(0), None);
        assert_eq!(pages(1).unwrap().get(), page);
        assert_eq!(pages(page / 8 + 1).unwrap().get(), 2 * page);
        assert_eq!(pages(usize::MAX), None);
    }
}
