//! Which calls a pod received and finished, kept in a file so that it survives a SIGKILL: one byte a call, the low half
//! counts receipts, the high half answers. Tells calls processed twice from calls merely sent twice.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// A pod's journal, open for writing.
#[derive(Debug)]
pub struct Journal {
    file: File,
    calls: Vec<u8>,
}

impl Journal {
    /// Opens the file with room for ids 0 to `calls` − 1, and goes on with what a pod that crashed left in it. Put it on tmpfs:
    /// it is written twice a call.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn open(path: &Path, calls: u64) -> io::Result<Self> {
        let mut file = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(path)?;
        file.set_len(calls)?;
        let mut noted = Vec::new();
        file.read_to_end(&mut noted)?;
        Ok(Self { file, calls: noted })
    }

    /// Notes that call `id` arrived. Ids without room (the warm-up's) are not noted.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn received(&mut self, id: u64) -> io::Result<()> {
        self.note(id, |byte| if byte & 0x0f < 0x0f { byte + 0x01 } else { byte })
    }

    /// Notes that call `id` is about to be answered.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn finished(&mut self, id: u64) -> io::Result<()> {
        self.note(id, |byte| if byte & 0xf0 < 0xf0 { byte + 0x10 } else { byte })
    }

    fn note(&mut self, id: u64, change: impl Fn(u8) -> u8) -> io::Result<()> {
        let Some(byte) = usize::try_from(id).ok().and_then(|index| self.calls.get_mut(index)) else {
            return Ok(());
        };
        *byte = change(*byte);
        self.file.write_all_at(&[*byte], id)
    }
}

/// What the journals of all pods say together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Calls processed by at least one pod.
    pub processed: u64,
    /// Calls processed more than once.
    pub processed_twice: u64,
}

impl Tally {
    /// Adds up the journals' bytes.
    #[must_use]
    pub fn of(journals: &[Vec<u8>]) -> Self {
        let calls = journals.iter().map(Vec::len).max().unwrap_or(0);
        let mut tally = Self::default();
        for id in 0..calls {
            let times: u32 = journals
                .iter()
                .filter_map(|journal| journal.get(id))
                .map(|byte| u32::from(byte >> 4))
                .sum();
            tally.processed += u64::from(times > 0);
            tally.processed_twice += u64::from(times > 1);
        }
        tally
    }
}

/// How many calls one pod finished, each as often as it did.
#[must_use]
pub fn finished(journal: &[u8]) -> u64 {
    journal.iter().map(|byte| u64::from(byte >> 4)).sum()
}

/// How many calls one pod received, each as often as it came.
#[must_use]
pub fn received(journal: &[u8]) -> u64 {
    journal.iter().map(|byte| u64::from(byte & 0x0f)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journal_outlives_its_pod() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pod-0");
        let mut journal = Journal::open(&path, 3).unwrap();
        journal.received(0).unwrap();
        journal.received(2).unwrap();
        journal.finished(2).unwrap();
        journal.received(u64::MAX).unwrap();
        // No close, no flush: this is all a SIGKILL leaves.
        let left = std::fs::read(&path).unwrap();
        assert_eq!(left, [0x01, 0x00, 0x11]);
        assert_eq!((received(&left), finished(&left)), (2, 1));
        let mut again = Journal::open(&path, 3).unwrap();
        again.received(2).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), [0x01, 0x00, 0x12]);
    }

    #[test]
    fn a_call_answered_by_two_pods_was_processed_twice() {
        let tally = Tally::of(&[vec![0x11, 0x01, 0x00, 0x22], vec![0x11, 0x11, 0x00]]);
        assert_eq!(
            tally,
            Tally {
                processed: 3,
                processed_twice: 2
            }
        );
    }
}
