//! What the programs saw and could not deliver.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use aya::maps::Map;
use obit_ebpf::{LOSS_ROW, Loss};

use super::shared::SharedWords;

const REASONS: usize = Loss::ALL.len();

/// The programs' counters of records not delivered: one row for each processor. Reading them costs no system call, for they
/// are read before every stalled dial is judged.
#[derive(Debug, Clone)]
pub struct LossCounters(Arc<SharedWords>);

impl LossCounters {
    pub(super) fn new(map: Map, processors: u32) -> io::Result<Self> {
        let words = usize::try_from(processors).map_err(io::Error::other)? * LOSS_ROW;
        SharedWords::new(map, words).map(|words| Self(Arc::new(words)))
    }

    /// Records not delivered since the start, for whatever reason.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.by_reason().iter().sum()
    }

    /// The same by reason, indexed by [`Loss`].
    #[must_use]
    pub fn by_reason(&self) -> [u64; REASONS] {
        let mut counts = [0; REASONS];
        for row in self.0.words().chunks_exact(LOSS_ROW) {
            for (count, of_processor) in counts.iter_mut().zip(row) {
                *count += of_processor.load(Ordering::Acquire);
            }
        }
        counts
    }
}
