//! Reads the ring buffer: records in, sightings out.

use std::fmt;
use std::io;
use std::time::Duration;

use aya::Ebpf;
use aya::maps::{Array, MapData, RingBuf};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::decode::decode;
use super::filter::io_error;
use super::log::ProgramLog;
use super::pace::Pace;
use crate::clock;
use crate::sighting::{MonotonicNs, Sighting};

/// The most records taken in one go, so that a storm does not keep the caller from acting on its beginning.
const BATCH: usize = 1024;

/// The sightings, before a runtime waits for them. May be sent to the thread that shall read.
pub struct ReaderSource {
    pub(super) ring: RingBuf<MapData>,
    pub(super) awake: Array<MapData, u32>,
    pub(super) log: Option<ProgramLog>,
    /// Holds the programs attached.
    pub(super) programs: Ebpf,
}

impl ReaderSource {
    /// Makes the reader. To be called in the runtime that shall read, best a `current_thread` one on a thread of its own:
    /// a multi-threaded one doubles the latency (35 µs against 17 µs at the median).
    ///
    /// # Errors
    /// The ring buffer cannot be registered with the runtime.
    ///
    /// # Panics
    /// Outside a tokio runtime with I/O and time enabled.
    #[expect(unsafe_code, reason = "tokio asks for a promise about the file descriptor")]
    pub fn into_reader(self) -> io::Result<Reader> {
        let Self {
            ring,
            awake,
            log,
            programs,
        } = self;
        // SAFETY: the ring buffer owns its descriptor, always names the same one, and is dropped after the registration.
        let ring = unsafe { AsyncFd::register_with_interest(ring, Interest::READABLE) }
            .map_err(|error| io::Error::other(error.to_string()))?;
        Ok(Reader {
            ring,
            awake,
            log,
            pace: Pace::Asleep,
            unknown: 0,
            _programs: programs,
        })
    }
}

impl fmt::Debug for ReaderSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReaderSource").finish_non_exhaustive()
    }
}

/// Reads sightings. Dropping it detaches the programs from the kernel.
pub struct Reader {
    ring: AsyncFd<RingBuf<MapData>>,
    awake: Array<MapData, u32>,
    log: Option<ProgramLog>,
    pace: Pace,
    unknown: u64,
    _programs: Ebpf,
}

impl Reader {
    /// Waits until at least one sighting was appended, or `deadline` has passed (late by the millisecond of the runtime's
    /// timer). Whatever was committed before the deadline is appended before it returns.
    ///
    /// # Errors
    /// What the kernel said; the reader may be used again.
    ///
    /// # Cancel safety
    /// Cancel safe: what is taken from the ring buffer is appended without waiting in between.
    pub async fn read(&mut self, into: &mut Vec<Sighting>, deadline: Option<MonotonicNs>) -> io::Result<()> {
        loop {
            if self.drain(into) {
                return self.set(Pace::busy());
            }
            let left = deadline.map(|deadline| deadline.since(clock::monotonic()));
            if left == Some(Duration::ZERO) {
                return Ok(());
            }
            let wait = self.pace.wait();
            let timer = tokio::time::sleep(left.map_or(wait, |left| left.min(wait)));
            tokio::select! {
                biased;
                ready = self.ring.readable_mut() => ready?.clear_ready(),
                () = timer => {
                    if left.is_none_or(|left| left >= wait) {
                        // Clears the flag before the next look where sleep comes near; see `Pace`.
                        if self.drain(into) {
                            return self.set(Pace::busy());
                        }
                        self.set(self.pace.quiet())?;
                    }
                }
            }
        }
    }

    /// Records that were read and are of no kind known here: the programs and the daemon are of different builds.
    #[must_use]
    pub fn unknown(&self) -> u64 {
        self.unknown
    }

    /// Takes what lies in the ring buffer; says whether that was any record at all.
    fn drain(&mut self, into: &mut Vec<Sighting>) -> bool {
        if let Some(log) = &mut self.log {
            log.flush();
        }
        let ring = self.ring.get_mut();
        let before = into.len();
        while into.len() - before < BATCH {
            let Some(record) = ring.next() else { break };
            match decode(&record) {
                Some(sighting) => into.push(sighting),
                None => self.unknown = self.unknown.saturating_add(1),
            }
        }
        into.len() > before
    }

    /// Changes the pace, and tells the programs if that changes what they may rely on.
    fn set(&mut self, pace: Pace) -> io::Result<()> {
        if pace.is_awake() != self.pace.is_awake() {
            self.awake.set(0, u32::from(pace.is_awake()), 0).map_err(io_error)?;
        }
        self.pace = pace;
        Ok(())
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("pace", &self.pace)
            .field("unknown", &self.unknown)
            .finish_non_exhaustive()
    }
}
