//! The recorder: writes down what the hub takes in, as it takes it in. The hub holds one half, the writer's thread takes
//! from the other.
//!
//! It must not cost the verdicts anything: the hub puts entries into a bounded queue, waits for nobody and wakes nobody;
//! the writer comes by itself. What does not fit is counted, and the count is written down in its place.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender, TryRecvError, TrySendError};

use super::format::{Entry, Offset, Saw};
use crate::endpoint::Listed;
use crate::sighting::{MonotonicNs, NetnsCookie, Sighting};

/// How many entries wait to be written at most: those of a fiftieth of a second at two hundred thousand a second; some
/// 20 MiB, if each is a full load of sightings.
pub const WAITING_MAX: usize = 4_096;

/// The hub's half.
#[derive(Debug)]
pub struct Recorder {
    start: MonotonicNs,
    queue: SyncSender<Entry>,
    /// What did not fit since something last did. Only this half counts; the other looks when this one is gone.
    missing: Arc<AtomicU64>,
    /// The time of the last entry.
    last: Offset,
    /// Nobody takes anything any more.
    ended: bool,
}

/// The writer's half.
#[derive(Debug)]
pub struct Tape {
    queue: Receiver<Entry>,
    missing: Arc<AtomicU64>,
    last: Offset,
}

/// Both halves, for a recording that begins at `start`, and at most `room` entries waiting.
#[must_use]
pub fn recorder(start: MonotonicNs, room: usize) -> (Recorder, Tape) {
    let (put, take) = mpsc::sync_channel(room);
    let missing = Arc::new(AtomicU64::new(0));
    let recorder = Recorder {
        start,
        queue: put,
        missing: Arc::clone(&missing),
        last: Offset(0),
        ended: false,
    };
    let tape = Tape {
        queue: take,
        missing,
        last: Offset(0),
    };
    (recorder, tape)
}

impl Recorder {
    /// A subscriber asked about peers.
    pub fn watch(&mut self, now: MonotonicNs, subscriber: u64, netns: Option<NetnsCookie>, peers: &[SocketAddr]) {
        if !peers.is_empty() {
            self.put(Some(now), |now, _| Entry::Watch {
                now,
                subscriber,
                netns,
                peers: peers.to_vec(),
            });
        }
    }

    /// A subscriber does not care about peers any more.
    pub fn unwatch(&mut self, subscriber: u64, peers: &[SocketAddr]) {
        if !peers.is_empty() {
            self.put(None, |now, _| Entry::Unwatch {
                now,
                subscriber,
                peers: peers.to_vec(),
            });
        }
    }

    /// Sightings were taken in together.
    pub fn saw(&mut self, now: MonotonicNs, sightings: &[Sighting]) {
        self.put(Some(now), |now, start| Entry::Saw {
            now,
            sightings: sightings.iter().map(|sighting| Saw::of(sighting, start)).collect(),
        });
    }

    /// Kubernetes said something of peers.
    pub fn heard(&mut self, now: MonotonicNs, peers: &[(SocketAddr, Option<Listed>)]) {
        self.put(Some(now), |now, _| Entry::Heard {
            now,
            peers: peers.to_vec(),
        });
    }

    /// Evidence expired.
    pub fn expire(&mut self, now: MonotonicNs) {
        self.put(Some(now), |now, _| Entry::Expire { now });
    }

    /// The kernel half lost sightings.
    pub fn lost(&mut self, now: MonotonicNs, total: u64) {
        self.put(Some(now), |now, _| Entry::Lost { now, total });
    }

    /// The canary was not heard any more, or was again.
    pub fn hearing(&mut self, now: MonotonicNs, deaf_since: Option<MonotonicNs>) {
        self.put(Some(now), |now, start| Entry::Hearing {
            now,
            deaf_since: deaf_since.map(|since| Offset::of(since, start)),
        });
    }

    /// Puts an entry into the queue; without a time of its own it bears that of the last one.
    fn put(&mut self, now: Option<MonotonicNs>, entry: impl FnOnce(Offset, MonotonicNs) -> Entry) {
        if self.ended {
            return;
        }
        if let Some(now) = now {
            self.last = Offset::of(now, self.start);
        }
        if !self.close_gap() || !self.offer(entry(self.last, self.start)) {
            self.missing.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Puts down that something is missing, if it is. Returns whether there was room for that.
    fn close_gap(&mut self) -> bool {
        let entries = self.missing.load(Ordering::Relaxed);
        let closed = entries == 0
            || self.offer(Entry::Missing {
                now: self.last,
                entries,
            });
        if closed {
            self.missing.store(0, Ordering::Relaxed);
        }
        closed
    }

    /// Returns whether there was room.
    fn offer(&mut self, entry: Entry) -> bool {
        match self.queue.try_send(entry) {
            Ok(()) => true,
            Err(TrySendError::Full(_)) => false,
            Err(TrySendError::Disconnected(_)) => {
                self.ended = true;
                true
            }
        }
    }
}

impl Tape {
    /// The next entry, if there is one now.
    pub fn take(&mut self) -> Option<Entry> {
        match self.queue.try_recv() {
            Ok(entry) => {
                self.last = entry.now();
                Some(entry)
            }
            Err(TryRecvError::Empty) => None,
            // What did not fit at the very end.
            Err(TryRecvError::Disconnected) => {
                let entries = self.missing.swap(0, Ordering::Relaxed);
                (entries > 0).then_some(Entry::Missing {
                    now: self.last,
                    entries,
                })
            }
        }
    }
}
