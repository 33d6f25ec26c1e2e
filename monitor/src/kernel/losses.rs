//! What the programs saw and could not deliver.

use std::fmt;
use std::io;

use aya::maps::{MapData, PerCpuArray};
use obit_ebpf::Loss;

use super::filter::io_error;

/// The programs' counters of records not delivered.
pub struct LossCounters(PerCpuArray<MapData, u64>);

impl LossCounters {
    pub(super) fn new(map: PerCpuArray<MapData, u64>) -> Self {
        Self(map)
    }

    /// Records not delivered since the start, for whatever reason.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn total(&self) -> io::Result<u64> {
        Ok(self.by_reason()?.iter().sum())
    }

    /// The same by reason, indexed by [`Loss`].
    ///
    /// # Errors
    /// What the kernel said.
    pub fn by_reason(&self) -> io::Result<[u64; 3]> {
        let mut counts = [0; 3];
        for (count, loss) in counts.iter_mut().zip(Loss::ALL) {
            *count = self.0.get(&(loss as u32), 0).map_err(io_error)?.iter().sum();
        }
        Ok(counts)
    }
}

impl fmt::Debug for LossCounters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LossCounters").field(&self.by_reason()).finish()
    }
}
