//! A processor's doorbell: the kernel half rings it, by a perf event, where an urgent record was written.
//!
//! ```text
//!            rung                    quiet             quiet
//!   asleep ───────▶ look ──1 ms──▶ look ──1 ms──▶ look ───────▶ asleep
//!                    ▲  └── rung, records ──┘ │
//!                    └────────────────────────┘
//! ```
//!
//! A processor's urgent records closer together than a millisecond share one ring, and the thread that was rung promises
//! to look again after that time (`monitor-ebpf`'s `emit`). It looks once more, for a record whose program read the time
//! just before and committed it just after.

use std::fmt;
use std::io;
use std::os::fd::AsFd;

use aya::maps::perf::{PerfBufferError, PerfEventArrayBuffer};
use aya::maps::{MapData, PerfEventArray};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::reader::{self, Look, Stop};

/// How long rings are held back after one; more than `URGENT_SPACING_NS` of the kernel half.
const AGAIN: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 1_100_000,
};

/// Looks after the last ring that find nothing, before the thread sleeps.
const QUIET_LOOKS: u32 = 2;

/// One data page: a ring takes 24 bytes and is taken at once.
const PAGES: usize = 1;

/// One processor's doorbell.
pub(super) struct Doorbell {
    processor: u32,
    rings: PerfEventArrayBuffer<MapData>,
}

impl Doorbell {
    /// Hangs one up for every processor that runs now.
    pub(super) fn for_every_processor(map: &mut PerfEventArray<MapData>) -> io::Result<Vec<Self>> {
        let processors = aya::util::online_cpus().map_err(|(_, error)| error)?;
        let hang = |processor| {
            let rings = map.open(processor, Some(PAGES)).map_err(io_error)?;
            Ok(Self { processor, rings })
        };
        processors.into_iter().map(hang).collect()
    }

    /// Waits to be rung, told to stop, or until `timeout` has passed. Returns whether to go on.
    fn wait(&mut self, stop: &Stop, timeout: Option<&Timespec>) -> io::Result<Option<bool>> {
        let mut ready = [
            PollFd::from_borrowed_fd(self.rings.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(stop.as_fd(), PollFlags::IN),
        ];
        match poll(&mut ready, timeout) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let [rung, stopped] = ready.map(|it| !it.revents().is_empty());
        if stopped {
            return Ok(None);
        }
        if rung {
            self.rings.for_each(|_| {});
        }
        Ok(Some(rung))
    }
}

impl reader::Doorbell for Doorbell {
    fn processor(&self) -> u32 {
        self.processor
    }

    fn answer(&mut self, look: &dyn Look, stop: &Stop) -> io::Result<()> {
        let mut quiet = QUIET_LOOKS;
        loop {
            let timeout = (quiet < QUIET_LOOKS).then_some(&AGAIN);
            let Some(rung) = self.wait(stop, timeout)? else {
                return Ok(());
            };
            let found = look.look();
            quiet = if rung || found { 0 } else { quiet + 1 };
        }
    }
}

impl fmt::Debug for Doorbell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Doorbell")
            .field("processor", &self.processor)
            .finish_non_exhaustive()
    }
}

fn io_error(error: PerfBufferError) -> io::Error {
    match error {
        PerfBufferError::OpenError { io_error }
        | PerfBufferError::MMapError { io_error }
        | PerfBufferError::PerfEventEnableError { io_error }
        | PerfBufferError::IOError(io_error) => io_error,
        other => io::Error::other(other),
    }
}
