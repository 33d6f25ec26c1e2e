//! The one place where the path's state is shared: ledger and registry behind one lock. The reader's thread brings
//! sightings and writes the news to subscribers itself, in the same call; sessions bring what subscribers ask.
//!
//! Every call holds the lock for a bounded number of steps ([`CHUNK`]), so that no subscriber makes the reader wait.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use obit_protocol::{Heartbeat, Notice, Verdict, monitor_message::Message};

use crate::coverage::Coverage;
use crate::ledger::{About, Ledger, Standing};
use crate::registry::{Flush, Full, Limits, Registry, SubscriberId, Wire};
use crate::sighting::{MonotonicNs, NetnsCookie, Sighting};

/// The most peers or sightings worked on under one hold of the lock.
pub const CHUNK: usize = 64;

/// Which addresses the kernel half looks at.
pub trait Filter: Send {
    /// Looks at an address from now on.
    ///
    /// # Errors
    /// `QuotaExceeded` when it can look at no more of them; otherwise what the kernel said.
    fn insert(&mut self, ip: IpAddr) -> io::Result<()>;

    /// Looks away from an address.
    ///
    /// # Errors
    /// What the kernel said.
    fn remove(&mut self, ip: IpAddr) -> io::Result<()>;
}

impl Filter for crate::kernel::WatchFilter {
    fn insert(&mut self, ip: IpAddr) -> io::Result<()> {
        Self::insert(self, ip)
    }

    fn remove(&mut self, ip: IpAddr) -> io::Result<()> {
        Self::remove(self, ip)
    }
}

/// Why a peer cannot be watched.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// A limit of this monitor.
    #[error(transparent)]
    Full(#[from] Full),
    /// The kernel half can look at no more addresses.
    #[error("the kernel's watch filter does not take {0}: {1}")]
    Filter(IpAddr, #[source] io::Error),
}

/// Ledger, registry and watch filter, shared by the reader and the sessions.
pub struct Hub {
    limits: Limits,
    state: Mutex<State>,
}

struct State {
    ledger: Ledger,
    registry: Registry,
    filter: Box<dyn Filter>,
    coverage: Coverage,
}

impl State {
    fn review(&mut self, ip: IpAddr, port: u16, now: MonotonicNs) {
        let peer = SocketAddr::new(ip, port);
        self.registry
            .review(peer, |netns| match self.ledger.verdict(peer, netns, now) {
                // Told only to those who knew something: what they knew has expired.
                unknown if unknown.verdict == Verdict::Unknown => Standing::expired(now),
                known => known,
            });
    }

    fn review_address(&mut self, ip: IpAddr, now: MonotonicNs) {
        for port in self.ledger.ports(ip).collect::<Vec<_>>() {
            self.review(ip, port, now);
        }
    }

    fn unwatch(&mut self, id: SubscriberId, peer: SocketAddr) {
        if !self.registry.unwatch(id, peer) {
            return;
        }
        self.ledger.unwatch(peer);
        if self.ledger.ports(peer.ip()).next().is_none()
            && let Err(error) = self.filter.remove(peer.ip())
        {
            tracing::warn!(ip = %peer.ip(), %error, "the kernel goes on looking at an address nobody asks about");
        }
    }
}

impl Hub {
    /// Nobody has asked for anything; everything is seen from `now` on.
    #[must_use]
    pub fn new(limits: Limits, filter: Box<dyn Filter>, now: MonotonicNs) -> Self {
        let state = State {
            ledger: Ledger::default(),
            registry: Registry::new(limits),
            filter,
            coverage: Coverage::new(now),
        };
        Self {
            limits,
            state: Mutex::new(state),
        }
    }

    /// How much subscribers may ask.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.limits
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // The reader's side.

    /// Takes in what was seen and tells those whom it concerns.
    pub fn observe(&self, now: MonotonicNs, sightings: &[Sighting]) {
        for chunk in sightings.chunks(CHUNK) {
            let state = &mut *self.state();
            for sighting in chunk {
                let change = state.ledger.observe(now, sighting);
                match change.about {
                    About::Nobody => {}
                    About::Peer(peer) => state.review(peer.ip(), peer.port(), now),
                    About::Address(ip) => state.review_address(ip, now),
                }
                for news in &change.connections {
                    state.registry.tell_of_connection(news);
                }
            }
            state.registry.flush_touched(now);
        }
    }

    /// When something known expires next.
    #[must_use]
    pub fn next_deadline(&self) -> Option<MonotonicNs> {
        self.state().ledger.next_deadline()
    }

    /// Lets what has expired by `now` expire.
    pub fn expire(&self, now: MonotonicNs) {
        let mut changed = Vec::new();
        let state = &mut *self.state();
        state.ledger.expire(now, &mut changed);
        for ip in changed {
            state.review_address(ip, now);
        }
        state.registry.flush_touched(now);
    }

    /// Takes in how many sightings were lost so far. Returns whether some were since the last call: then an answer may
    /// have been among them, and nothing may be concluded from what was not seen.
    pub fn note_losses(&self, now: MonotonicNs, total: u64) -> bool {
        let state = &mut *self.state();
        let more = state.coverage.update(now, total);
        if more {
            state.ledger.forget_connections();
        }
        more
    }

    // The sessions' side.

    /// Someone subscribes.
    ///
    /// # Errors
    /// [`Full::Subscribers`].
    pub fn join(&self, netns: Option<NetnsCookie>, wire: Arc<dyn Wire>) -> Result<SubscriberId, Full> {
        self.state().registry.join(netns, wire)
    }

    /// A subscriber is gone. Returns whether that is done: if not, call again, so that others get their turn.
    #[must_use]
    pub fn leave(&self, id: SubscriberId) -> bool {
        let state = &mut *self.state();
        let peers = state.registry.some_peers(id, CHUNK);
        for peer in &peers {
            state.unwatch(id, *peer);
        }
        let done = peers.len() < CHUNK;
        if done {
            state.registry.leave(id);
        }
        done
    }

    /// A subscriber asks about up to [`CHUNK`] more peers. Returns what is known of them.
    ///
    /// # Errors
    /// [`WatchError`]; the peers before the one that failed are watched.
    pub fn watch(&self, id: SubscriberId, peers: &[SocketAddr], now: MonotonicNs) -> Result<Vec<Notice>, WatchError> {
        let state = &mut *self.state();
        let mut known = Vec::new();
        for peer in peers {
            let ip = peer.ip();
            let verdict = |netns| state.ledger.verdict(*peer, netns, now);
            if state.registry.watch(id, *peer, verdict)? {
                if state.ledger.ports(ip).next().is_none()
                    && let Err(error) = state.filter.insert(ip)
                {
                    state.registry.unwatch(id, *peer);
                    return Err(WatchError::Filter(ip, error));
                }
                state.ledger.watch(*peer);
                // What is known of the address from its other ports.
                state.review(ip, peer.port(), now);
            }
            known.extend(state.registry.state(id, *peer));
        }
        Ok(known)
    }

    /// A subscriber does not care about up to [`CHUNK`] peers any more.
    pub fn unwatch(&self, id: SubscriberId, peers: &[SocketAddr]) {
        let state = &mut *self.state();
        for peer in peers {
            state.unwatch(id, *peer);
        }
    }

    /// Answers a subscriber and writes what it takes at once.
    pub fn reply(&self, id: SubscriberId, message: Message, now: MonotonicNs) -> Flush {
        let state = &mut *self.state();
        state.registry.reply(id, message);
        state.registry.flush(id, now)
    }

    /// Sends a heartbeat.
    pub fn beat(&self, id: SubscriberId, now: MonotonicNs) -> Flush {
        let state = &mut *self.state();
        let heartbeat = Heartbeat {
            seq: state.registry.seq(),
            lost: state.coverage.lost(),
            blind_since_ns: state.coverage.blind_since().map_or(0, |since| since.0),
        };
        state.registry.beat(id, heartbeat);
        state.registry.flush(id, now)
    }

    /// Says the last words to a subscriber; nothing follows them.
    pub fn close(&self, id: SubscriberId, goodbye: Message, now: MonotonicNs) -> Flush {
        let state = &mut *self.state();
        state.registry.close(id, goodbye);
        state.registry.flush(id, now)
    }

    /// Writes to a subscriber what it takes at once.
    pub fn flush(&self, id: SubscriberId, now: MonotonicNs) -> Flush {
        self.state().registry.flush(id, now)
    }

    /// Encoded bytes a subscriber has not taken.
    #[must_use]
    pub fn backlog(&self, id: SubscriberId) -> usize {
        self.state().registry.backlog(id)
    }

    /// For how long a subscriber has taken nothing although there was something to take.
    #[must_use]
    pub fn blocked_for(&self, id: SubscriberId, now: MonotonicNs) -> Duration {
        self.state().registry.blocked_for(id, now)
    }

    /// The number of the newest notice.
    #[must_use]
    pub fn seq(&self) -> u64 {
        self.state().registry.seq()
    }

    /// Since when everything watched was seen.
    #[must_use]
    pub fn complete_since(&self) -> MonotonicNs {
        self.state().coverage.complete_since()
    }

    /// How many subscribers, peers and remembered facts there are.
    #[must_use]
    pub fn sizes(&self) -> (usize, usize, usize) {
        let state = &*self.state();
        (
            state.registry.subscribers(),
            state.registry.peers(),
            state.ledger.facts(),
        )
    }
}

impl std::fmt::Debug for Hub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (subscribers, peers, facts) = self.sizes();
        f.debug_struct("Hub")
            .field("subscribers", &subscribers)
            .field("peers", &peers)
            .field("facts", &facts)
            .finish_non_exhaustive()
    }
}
