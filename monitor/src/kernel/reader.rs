//! The reader's own thread: sleeps until there is something to look at or a time has come.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::Ordering;

use aya::Ebpf;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::alarm::Alarm;
use super::doorbell::Doorbell;
use super::lead::Lead;
use super::log::ProgramLog;
use super::pace::Pace;
use super::records::KernelRecords;
use super::shared::SharedWords;
use crate::clock;
use crate::reader::{self, Look, Opened, Source, Wait};
use crate::sighting::{Deadline, MonotonicNs};

/// The kernel half as a source of sightings, before a runtime waits for them. May be sent to the thread that shall read.
pub struct KernelSource {
    pub(super) records: KernelRecords,
    pub(super) doorbells: Vec<Doorbell>,
    pub(super) awake: SharedWords,
    pub(super) log: Option<ProgramLog>,
    /// Holds the programs attached.
    pub(super) programs: Ebpf,
}

impl Source for KernelSource {
    type Records = KernelRecords;
    type Wait = Waiter;

    /// To be called in the runtime that shall read, best a `current_thread` one on a thread of its own: a multi-threaded one
    /// doubles the latency (35 µs against 17 µs at the median).
    #[expect(unsafe_code, reason = "tokio asks for a promise about the file descriptor")]
    fn open(self) -> io::Result<Opened<KernelRecords, Waiter>> {
        let Self {
            records,
            doorbells,
            awake,
            log,
            programs,
        } = self;
        let ring = records.ring.as_fd().try_clone_to_owned()?;
        // SAFETY: an `OwnedFd` always names the descriptor it owns, and is dropped after its registration.
        let ring = unsafe { AsyncFd::register_with_interest(ring, Interest::READABLE) }
            .map_err(|error| io::Error::other(error.to_string()))?;
        let wait = Waiter {
            ring,
            alarm: Alarm::new()?,
            awake,
            log,
            pace: Pace::Asleep,
            look_at: clock::monotonic(),
            lead: Lead::new(clock::monotonic()),
            announced: false,
            _programs: programs,
        };
        let boxed = |doorbell| Box::new(doorbell) as Box<dyn reader::Doorbell>;
        Ok(Opened {
            records,
            wait,
            doorbells: doorbells.into_iter().map(boxed).collect(),
        })
    }
}

impl fmt::Debug for KernelSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KernelSource")
            .field("records", &self.records)
            .field("doorbells", &self.doorbells)
            .finish_non_exhaustive()
    }
}

/// Knows when to look at the ring buffer. Dropping it detaches the programs from the kernel.
pub struct Waiter {
    ring: AsyncFd<OwnedFd>,
    alarm: Alarm,
    awake: SharedWords,
    log: Option<ProgramLog>,
    pace: Pace,
    /// When to look although nothing woke us.
    look_at: MonotonicNs,
    lead: Lead,
    /// Whether the programs take us for awake.
    announced: bool,
    _programs: Ebpf,
}

impl Wait for Waiter {
    /// Towards a sharp deadline it gets up early and looks without sleeping, within bounds (see `Lead`).
    async fn wait(&mut self, look: &dyn Look) -> io::Result<()> {
        loop {
            if let Some(log) = &mut self.log {
                log.flush();
            }
            let now = clock::monotonic();
            let found = look.look();
            let Deadline { at, sharp } = look.deadline();
            if found {
                self.go(Pace::busy(), now);
                self.announce();
            }
            if at <= now {
                return Ok(());
            }
            if found {
                // Whatever else runs in this runtime gets its turn even in a storm.
                tokio::task::yield_now().await;
                continue;
            }
            if self.look_at <= now {
                // The flag is cleared before the next look where sleep comes near; see `Pace`.
                self.go(self.pace.quiet(), now);
                self.announce();
                continue;
            }
            let get_up_at = if sharp { at - self.lead.length(now) } else { at };
            if get_up_at <= now {
                self.look_until(at, now, look);
                continue;
            }
            let wake_at = self.look_at.min(get_up_at);
            self.alarm.set(wake_at)?;
            tokio::select! {
                biased;
                ready = self.ring.readable() => ready?.clear_ready(),
                rings = self.alarm.rings() => {
                    rings?;
                    self.lead.rang(wake_at, clock::monotonic());
                }
            }
        }
    }
}

impl Waiter {
    /// Looks without sleeping until there was something or the time has come.
    fn look_until(&mut self, at: MonotonicNs, began: MonotonicNs, look: &dyn Look) {
        let mut now = began;
        while now < at {
            if look.look() {
                self.go(Pace::busy(), now);
                self.announce();
                break;
            }
            std::hint::spin_loop();
            now = clock::monotonic();
        }
        self.lead.spend(now.since(began));
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

impl fmt::Debug for Waiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiter")
            .field("pace", &self.pace)
            .finish_non_exhaustive()
    }
}
