//! Runs of the programs that the kernel left out: a program that is interrupted on its processor by what would run it
//! again is not run again (kernels since 6.1), and only the kernel counts it.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::os::unix::fs::FileExt as _;

use tracing::debug;

/// The line of a program's `fdinfo` that tells of them, since Linux 5.12.
const KEY: &str = "recursion_misses:";

/// What the kernel says of each program, read from files that stay open: it needs neither `bpf(2)` nor a capability.
#[derive(Debug, Default)]
pub(super) struct Misses(Vec<File>);

impl Misses {
    /// Adds the count of a program. On a kernel that keeps none, nothing is counted.
    ///
    /// # Errors
    /// The program's `fdinfo` cannot be read.
    pub(super) fn add(&mut self, program: BorrowedFd<'_>) -> io::Result<()> {
        let path = format!("/proc/self/fdinfo/{}", program.as_raw_fd());
        let file = File::open(path)?;
        match count(&file)? {
            Some(_) => self.0.push(file),
            None => debug!("this kernel does not count the runs of a program it leaves out"),
        }
        Ok(())
    }

    /// How many programs are counted.
    pub(super) fn programs(&self) -> usize {
        self.0.len()
    }

    /// All of them so far. What was read once can be read again.
    pub(super) fn total(&self) -> u64 {
        self.0.iter().filter_map(|file| count(file).ok().flatten()).sum()
    }
}

/// `None` on a kernel that keeps none.
fn count(fdinfo: &File) -> io::Result<Option<u64>> {
    let mut text = [0; 1_024];
    let read = fdinfo.read_at(&mut text, 0)?;
    Ok(in_text(text.get(..read).unwrap_or_default()))
}

fn in_text(text: &[u8]) -> Option<u64> {
    let text = str::from_utf8(text).ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix(KEY))?;
    value.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_found_among_what_else_is_said() {
        let text =
            "pos:\t0\nflags:\t02000002\nprog_jited:\t1\nrun_cnt:\t7\nrecursion_misses:\t42\nverified_insns:\t9\n";
        assert_eq!(in_text(text.as_bytes()), Some(42));
        assert_eq!(in_text(b"pos:\t0\nrun_cnt:\t7\n"), None);
        assert_eq!(in_text(b"recursion_misses:\tmany\n"), None);
    }

    #[test]
    fn a_file_without_a_count_is_not_counted() {
        let file = tempfile::tempfile().unwrap();
        let mut misses = Misses::default();
        misses.add(std::os::fd::AsFd::as_fd(&file)).unwrap();
        assert_eq!((misses.programs(), misses.total()), (0, 0));
    }
}
