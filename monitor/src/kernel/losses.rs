//! What the programs saw and could not deliver.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aya::maps::Map;
use obit_ebpf::{LOSS_ROW, Loss};

use super::misses::Misses;
use super::shared::SharedWords;

const REASONS: usize = Loss::ALL.len();

/// What was not delivered. The programs count it themselves, in one row for each processor: reading that costs no system
/// call, for it is read before every stalled dial is judged. What they could not count, for they did not run, the kernel
/// tells.
#[derive(Debug, Clone)]
pub struct LossCounters(Arc<Sources>);

#[derive(Debug)]
struct Sources {
    rows: SharedWords,
    misses: Misses,
    unreadable: AtomicU64,
}

impl LossCounters {
    pub(super) fn new(map: Map, processors: u32, misses: Misses) -> io::Result<Self> {
        let words = usize::try_from(processors).map_err(io::Error::other)? * LOSS_ROW;
        let rows = SharedWords::new(map, words)?;
        Ok(Self(Arc::new(Sources {
            rows,
            misses,
            unreadable: AtomicU64::new(0),
        })))
    }

    /// Records not delivered since the start, for whatever reason.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.by_reason().iter().sum()
    }

    /// Runs of the programs that the kernel left out anywhere on the node: each may have been a sighting.
    #[must_use]
    pub fn left_out(&self) -> u64 {
        self.0.misses.total()
    }

    /// For how many programs the kernel counts that; 0 on a kernel before 5.12.
    #[must_use]
    pub fn programs_counted(&self) -> usize {
        self.0.misses.programs()
    }

    /// [`Self::total`] by reason, indexed by [`Loss`].
    #[must_use]
    pub fn by_reason(&self) -> [u64; REASONS] {
        let mut counts = [0; REASONS];
        for row in self.0.rows.words().chunks_exact(LOSS_ROW) {
            for (count, of_processor) in counts.iter_mut().zip(row) {
                *count += of_processor.load(Ordering::Acquire);
            }
        }
        counts[Loss::Unreadable as usize] += self.unreadable().load(Ordering::Relaxed);
        counts
    }

    /// Records that were delivered and could not be read.
    pub(super) fn unreadable(&self) -> &AtomicU64 {
        &self.0.unreadable
    }
}
