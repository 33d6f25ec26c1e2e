//! The waiting room of dials, between the kernel's sightings and the ledger: a SYN that is not answered within its
//! threshold becomes a `SynStalled` sighting, long before the kernel would send it again.

mod threshold;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Duration;

use crate::sighting::{MonotonicNs, Observation, Sighting, SocketCookie};

pub use threshold::{Bounds, Thresholds};

/// How many dials wait at most; more are not timed. At 250 ms each that is a quarter of a million dials a second.
pub const WAITING_MAX: usize = 65_536;

/// Dials in progress, each with the time by which it should have been answered. Pure: time comes in as an argument.
#[derive(Debug)]
pub struct WaitingRoom {
    waiting: HashMap<SocketCookie, Dial>,
    due: BTreeSet<(MonotonicNs, SocketCookie)>,
    /// Dials whose time ran out and that have not ended yet.
    stalled: HashSet<SocketCookie>,
    thresholds: Thresholds,
    capacity: usize,
    turned_away: u64,
}

#[derive(Debug, Clone, Copy)]
struct Dial {
    began: Sighting,
    threshold: Duration,
}

impl WaitingRoom {
    /// A room that learns its thresholds within `bounds`.
    #[must_use]
    pub fn new(bounds: Bounds) -> Self {
        Self::with_capacity(bounds, WAITING_MAX)
    }

    /// A room for `capacity` dials.
    #[must_use]
    pub fn with_capacity(bounds: Bounds, capacity: usize) -> Self {
        Self {
            waiting: HashMap::new(),
            due: BTreeSet::new(),
            stalled: HashSet::new(),
            thresholds: Thresholds::new(bounds),
            capacity,
            turned_away: 0,
        }
    }

    /// What a sighting is, knowing of the dial: one that stalled, and ends without an error, was abandoned for its silence.
    #[must_use]
    pub fn in_context(&self, sighting: Sighting) -> Sighting {
        match sighting.what {
            Observation::Ended if self.stalled.contains(&sighting.socket) => Sighting {
                what: Observation::Abandoned,
                ..sighting
            },
            _ => sighting,
        }
    }

    /// Takes note of a sighting: a dial that begins enters, any end or answer of it leaves.
    pub fn observe(&mut self, sighting: &Sighting) {
        match sighting.what {
            Observation::SynStart => self.enter(*sighting),
            Observation::SynRetransmit
            | Observation::SynStalled { .. }
            | Observation::SoftError
            | Observation::ListenerClosed
            | Observation::ListenerOpened
            | Observation::Home => {}
            Observation::Handshake { rtt } => {
                // How far away an address is in such a namespace, its owner decides.
                if !sighting.in_user_ns {
                    self.thresholds.learn(sighting.peer.ip(), rtt);
                }
                self.leave(sighting.socket);
            }
            Observation::Refused
            | Observation::Unreachable
            | Observation::Reset
            | Observation::PeerClosed
            | Observation::Stalled
            | Observation::TimedOut
            | Observation::SynTimeout
            | Observation::Abandoned
            | Observation::Ended => self.leave(sighting.socket),
        }
    }

    /// When the next dial runs out of time.
    #[must_use]
    pub fn next_deadline(&self) -> Option<MonotonicNs> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Appends a `SynStalled` for each dial whose time has run out by `now`, oldest first; each leaves the room, so no
    /// dial stalls twice.
    pub fn expire(&mut self, now: MonotonicNs, stalled: &mut Vec<Sighting>) {
        while let Some((at, socket)) = self.due.first().copied().filter(|(at, _)| *at <= now) {
            self.due.remove(&(at, socket));
            if let Some(dial) = self.waiting.remove(&socket) {
                if self.stalled.len() < self.capacity {
                    self.stalled.insert(socket);
                }
                let what = Observation::SynStalled { waited: dial.threshold };
                stalled.push(Sighting { at, what, ..dial.began });
            }
        }
    }

    /// Forgets every dial: sightings were lost, and an answer may have been among them.
    pub fn clear(&mut self) {
        self.waiting.clear();
        self.due.clear();
        self.stalled.clear();
    }

    /// How many dials are waiting.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether no dial is waiting.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// How many dials were not timed because the room was full.
    #[must_use]
    pub fn turned_away(&self) -> u64 {
        self.turned_away
    }

    fn enter(&mut self, began: Sighting) {
        // A socket that dials again (after a refusal, say) starts afresh.
        self.leave(began.socket);
        if self.waiting.len() >= self.capacity {
            self.turned_away += 1;
            return;
        }
        let threshold = self.thresholds.of(began.peer.ip());
        self.due.insert((began.at + threshold, began.socket));
        self.waiting.insert(began.socket, Dial { began, threshold });
    }

    fn leave(&mut self, socket: SocketCookie) {
        self.stalled.remove(&socket);
        if let Some(dial) = self.waiting.remove(&socket) {
            self.due.remove(&(dial.began.at + dial.threshold, socket));
        }
    }
}

#[cfg(test)]
mod tests;
