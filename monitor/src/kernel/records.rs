//! The ring buffer: records in, sightings out.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

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
}

impl KernelRecords {
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
            take_in(&record, into, self.losses.unreadable());
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

/// One record: a sighting, or a loss where it is of no kind known here (the programs and the daemon are of different builds).
fn take_in(record: &[u8], into: &mut Vec<Sighting>, unreadable: &AtomicU64) {
    match decode(record) {
        Some(sighting) => into.push(sighting),
        None => _ = unreadable.fetch_add(1, Ordering::Relaxed),
    }
}

impl fmt::Debug for KernelRecords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KernelRecords")
            .field("losses", &self.losses)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use obit_ebpf::RECORD_BYTES;

    use super::*;

    #[test]
    fn a_record_that_cannot_be_read_is_counted_and_those_around_it_are_delivered() {
        let mut known = [0; RECORD_BYTES];
        // A refusal: the kind stands last but one.
        known[RECORD_BYTES - 2] = 1;
        let (mut into, unreadable) = (Vec::new(), AtomicU64::new(0));
        for record in [&known[..], &[0xff; RECORD_BYTES], &known[1..], &[], &known] {
            take_in(record, &mut into, &unreadable);
        }
        assert_eq!((into.len(), unreadable.into_inner()), (2, 3));
    }
}
