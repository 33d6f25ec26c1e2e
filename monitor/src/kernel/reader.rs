//! Reads the ring buffer: records in, sightings out.

use std::fmt;
use std::io;
use std::sync::atomic::Ordering;

use aya::Ebpf;
use aya::maps::{MapData, RingBuf};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::alarm::Alarm;
use super::decode::decode;
use super::lead::Lead;
use super::log::ProgramLog;
use super::pace::Pace;
use super::shared::SharedWords;
use crate::clock;
use crate::sighting::{Deadline, MonotonicNs, Sighting};

/// The most records taken in one go, so that a storm does not keep the caller from acting on its beginning.
const BATCH: usize = 1024;

/// The sightings, before a runtime waits for them. May be sent to the thread that shall read.
pub struct ReaderSource {
    pub(super) ring: RingBuf<MapData>,
    pub(super) awake: SharedWords,
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
            alarm: Alarm::new()?,
            awake,
            log,
            pace: Pace::Asleep,
            look_at: clock::monotonic(),
            lead: Lead::new(clock::monotonic()),
            announced: false,
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
    alarm: Alarm,
    awake: SharedWords,
    log: Option<ProgramLog>,
    pace: Pace,
    /// When to look although nothing woke us.
    look_at: MonotonicNs,
    lead: Lead,
    /// Whether the programs take us for awake.
    announced: bool,
    unknown: u64,
    _programs: Ebpf,
}

impl Reader {
    /// Waits until at least one sighting was appended, or `deadline` has passed. Whatever was committed before the deadline
    /// is appended before it returns. Towards a sharp deadline it gets up early and looks without sleeping, within bounds
    /// (see `Lead`).
    ///
    /// # Errors
    /// What the kernel said; the reader may be used again.
    ///
    /// # Cancel safety
    /// Cancel safe: what is taken from the ring buffer is appended without waiting in between.
    pub async fn read(&mut self, into: &mut Vec<Sighting>, deadline: Deadline) -> io::Result<()> {
        self.announce();
        loop {
            let now = clock::monotonic();
            if self.drain(into) {
                self.go(Pace::busy(), now);
                return Ok(());
            }
            if deadline.at <= now {
                return Ok(());
            }
            if self.look_at <= now {
                // The flag is cleared before the next look where sleep comes near; see `Pace`.
                self.go(self.pace.quiet(), now);
                self.announce();
                continue;
            }
            let Deadline { at, sharp } = deadline;
            let get_up_at = if sharp { at - self.lead.length(now) } else { at };
            if get_up_at <= now {
                self.look_until(at, now, into);
                return Ok(());
            }
            let wake_at = self.look_at.min(get_up_at);
            self.alarm.set(wake_at)?;
            tokio::select! {
                biased;
                ready = self.ring.readable_mut() => ready?.clear_ready(),
                rings = self.alarm.rings() => {
                    rings?;
                    self.lead.rang(wake_at, clock::monotonic());
                }
            }
        }
    }

    /// Looks without sleeping until there was something to take or the time has come.
    fn look_until(&mut self, at: MonotonicNs, began: MonotonicNs, into: &mut Vec<Sighting>) {
        let mut now = began;
        while now < at {
            if self.drain(into) {
                self.go(Pace::busy(), now);
                break;
            }
            std::hint::spin_loop();
            now = clock::monotonic();
        }
        self.lead.spend(now.since(began));
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

    fn go(&mut self, pace: Pace, now: MonotonicNs) {
        self.pace = pace;
        self.look_at = now + pace.wait();
    }

    /// Tells the programs what they may rely on, if that has changed.
    fn announce(&mut self) {
        if self.pace.is_awake() != self.announced {
            self.announced = self.pace.is_awake();
            if let Some(awake) = self.awake.words().first() {
                // Seen by the programs before this thread looks at the buffer again; see `emit` of the kernel half.
                awake.store(u64::from(self.announced), Ordering::SeqCst);
            }
        }
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
