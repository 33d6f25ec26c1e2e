//! The ring buffer: records in, sightings out.

use std::fmt;

use aya::maps::{MapData, RingBuf};

use super::decode::decode;
use super::losses::LossCounters;
use crate::reader::Records;
use crate::sighting::Sighting;

/// The most records taken in one go, so that a storm does not keep the caller from acting on its beginning.
const BATCH: usize = 1024;

/// What the programs saw and nobody has taken yet.
pub struct KernelRecords {
    pub(super) ring: RingBuf<MapData>,
    pub(super) losses: LossCounters,
    pub(super) unknown: u64,
}

impl KernelRecords {
    /// Records that were taken and are of no kind known here: the programs and the daemon are of different builds.
    #[must_use]
    pub fn unknown(&self) -> u64 {
        self.unknown
    }

    /// The counters of what could not be delivered.
    #[must_use]
    pub fn losses(&self) -> &LossCounters {
        &self.losses
    }
}

impl Records for KernelRecords {
    fn take(&mut self, into: &mut Vec<Sighting>) -> bool {
        let before = into.len();
        while into.len() - before < BATCH {
            let Some(record) = self.ring.next() else { break };
            match decode(&record) {
                Some(sighting) => into.push(sighting),
                None => self.unknown = self.unknown.saturating_add(1),
            }
        }
        into.len() > before
    }

    fn lost(&self) -> u64 {
        self.losses.total()
    }

    fn left_out(&self) -> u64 {
        self.losses.left_out()
    }
}

impl fmt::Debug for KernelRecords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KernelRecords")
            .field("losses", &self.losses)
            .field("unknown", &self.unknown)
            .finish_non_exhaustive()
    }
}
