//! The one place where the path's state is shared: ledger and registry behind one lock. The reader's thread brings
//! sightings and writes the news to subscribers itself, in the same call; sessions bring what subscribers ask.
//!
//! Every call holds the lock for a bounded number of steps ([`CHUNK`]), so that no subscriber makes the reader wait.

mod filter;
mod state;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ipnet::IpNet;
use obit_protocol::{Notice, monitor_message::Message};

use crate::canary::Ear;
use crate::endpoint::Listed;
use crate::ledger::{About, Ledger};
use crate::record::recorder::Recorder;
use crate::registry::{Flush, Full, Limits, SubscriberId, VERDICTS, Wire};
use crate::sighting::{MonotonicNs, NetnsCookie, Observation, Sighting};
use crate::suspicion::Turn;
use state::State;

pub use filter::Filter;

/// The most peers or sightings worked on under one hold of the lock.
pub const CHUNK: usize = 64;

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

/// How much there is in the hub, and how much went through it since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// Who has subscribed.
    pub subscribers: usize,
    /// Who is watched by anyone.
    pub peers: usize,
    /// Sightings, by their [kind](Observation::kind).
    pub sightings: [u64; Observation::KINDS.len()],
    /// Notices about peers, by the number of their verdict.
    pub verdicts: [u64; VERDICTS],
    /// Sightings are being lost, or none arrive at all.
    pub blind: bool,
}

/// Ledger, registry and watch filter, shared by the reader and the sessions.
pub struct Hub {
    limits: Limits,
    canary: Option<Arc<Ear>>,
    state: Mutex<State>,
}

impl Hub {
    /// Nobody has asked for anything; everything is seen from `now` on.
    #[must_use]
    pub fn new(limits: Limits, filter: Box<dyn Filter>, now: MonotonicNs) -> Self {
        Self {
            limits,
            canary: None,
            state: Mutex::new(State::new(limits, filter, now)),
        }
    }

    /// Holds nothing against the addresses in these ranges, only against connections: behind them are many peers. Forgets
    /// what was known before.
    #[must_use]
    pub fn with_virtual_addresses(self, ranges: Vec<IpNet>) -> Self {
        self.state().ledger = Ledger::with_virtual_addresses(ranges);
        self
    }

    /// Tells the canary's ear what is seen, and goes on looking at its address whoever else does.
    ///
    /// # Errors
    /// The kernel half cannot look at it.
    pub fn with_canary(mut self, ear: Arc<Ear>) -> Result<Self, WatchError> {
        let mut state = self.state();
        let inserted = state.filter.insert(ear.ip());
        inserted.map_err(|error| WatchError::Filter(ear.ip(), error))?;
        state.pinned = Some(ear.ip());
        drop(state);
        self.canary = Some(ear);
        Ok(self)
    }

    /// How much subscribers may ask.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Writes down what comes in from now on; `None`: does not. Before anybody has subscribed, if it is to be replayed.
    pub fn record(&self, recorder: Option<Recorder>) {
        self.state().recorder = recorder;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // The reader's side.

    /// Takes in what was seen and tells those whom it concerns.
    pub fn observe(&self, now: MonotonicNs, sightings: &[Sighting]) {
        for chunk in sightings.chunks(CHUNK) {
            let state = &mut *self.state();
            if let Some(recorder) = &mut state.recorder {
                recorder.saw(now, chunk);
            }
            for sighting in chunk {
                if let Some(ear) = &self.canary {
                    ear.hear(sighting);
                }
                state.sightings[sighting.what.kind()] += 1;
                let change = state.ledger.observe(now, sighting);
                let registry = &state.registry;
                let turn = state
                    .suspicions
                    .observe(sighting, |netns, ip| registry.addresses(netns, ip));
                if turn != Turn::None {
                    state.suspicion_turned(sighting.netns, turn);
                }
                match change.about {
                    About::Nobody => {}
                    About::Peer(peer) => state.review(peer, now),
                    About::Address(ip) => state.review_address(ip, now),
                }
                for news in &change.connections {
                    state.registry.tell_of_connection(news);
                }
            }
            state.registry.flush_touched(now);
        }
    }

    /// When there is something to do although nothing is seen: what is known expires, or something was put off.
    #[must_use]
    pub fn next_deadline(&self) -> Option<MonotonicNs> {
        self.state().next_deadline()
    }

    /// Lets what has expired by `now` expire, and does some of what was put off.
    pub fn expire(&self, now: MonotonicNs) {
        let mut changed = Vec::new();
        let state = &mut *self.state();
        if state.next_deadline().is_some_and(|due| due <= now)
            && let Some(recorder) = &mut state.recorder
        {
            recorder.expire(now);
        }
        state.ledger.expire(now, &mut changed);
        for ip in changed {
            state.review_address(ip, now);
        }
        while let Some(peer) = state.registry.pop_due(now) {
            state.later.review.insert(peer);
        }
        while let Some(netns) = state.suspicions.expire(now) {
            state.suspicion_turned(netns, Turn::None);
        }
        state.catch_up(now);
        state.registry.flush_touched(now);
    }

    /// Takes in how many sightings were lost so far. Returns whether some were since the last call: then an answer may
    /// have been among them, and nothing may be concluded from what was not seen.
    pub fn note_losses(&self, now: MonotonicNs, total: u64) -> bool {
        let state = &mut *self.state();
        let more = state.coverage.update(now, total);
        if more {
            if let Some(recorder) = &mut state.recorder {
                recorder.lost(now, total);
            }
            state.ledger.forget_connections();
        }
        more
    }

    /// Takes in how many runs of its programs the kernel left out so far.
    pub fn note_left_out(&self, total: u64) {
        self.state().coverage.leave_out(total);
    }

    /// Takes in whether the canary was heard; if not, since when it is known not to be.
    pub fn note_hearing(&self, now: MonotonicNs, deaf_since: Option<MonotonicNs>) {
        let state = &mut *self.state();
        if state.coverage.hear(now, deaf_since) {
            if let Some(recorder) = &mut state.recorder {
                recorder.hearing(now, deaf_since);
            }
            state.ledger.forget_connections();
        }
    }

    // Kubernetes' side.

    /// Takes in what Kubernetes says of peers (`None`: that it is nobody's endpoint), and tells those whom it concerns.
    pub fn hear(&self, now: MonotonicNs, peers: &[(SocketAddr, Option<Listed>)]) {
        for chunk in peers.chunks(CHUNK) {
            let state = &mut *self.state();
            if let Some(recorder) = &mut state.recorder {
                recorder.heard(now, chunk);
            }
            for (peer, listed) in chunk {
                match state.ledger.hear(now, *peer, *listed) {
                    About::Nobody => {}
                    About::Peer(peer) => state.review(peer, now),
                    About::Address(ip) => state.review_address(ip, now),
                }
            }
            state.registry.flush_touched(now);
        }
    }

    /// The peers that anybody watches at these addresses.
    #[must_use]
    pub fn watched_at(&self, addresses: &[IpAddr]) -> Vec<SocketAddr> {
        let ledger = &self.state().ledger;
        let ports = |ip: &IpAddr| {
            let ip = *ip;
            ledger.ports(ip).map(move |port| SocketAddr::new(ip, port))
        };
        addresses.iter().flat_map(ports).collect()
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
        if let Some(recorder) = &mut state.recorder {
            recorder.unwatch(id.number(), &peers);
        }
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
        let mut outcome = Ok(());
        let mut watched = 0;
        for peer in peers {
            outcome = state.watch(id, *peer, now);
            if outcome.is_err() {
                break;
            }
            watched += 1;
            known.extend(state.registry.state(id, *peer));
        }
        if let Some(recorder) = &mut state.recorder {
            recorder.watch(now, id.number(), state.registry.netns(id), &peers[..watched]);
        }
        outcome.map(|()| known)
    }

    /// A subscriber does not care about up to [`CHUNK`] peers any more.
    pub fn unwatch(&self, id: SubscriberId, peers: &[SocketAddr]) {
        let state = &mut *self.state();
        if let Some(recorder) = &mut state.recorder {
            recorder.unwatch(id.number(), peers);
        }
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
        let heartbeat = state.heartbeat(state.registry.netns(id));
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

    /// How many subscribers, peers and remembered facts there are. Counts the facts one by one.
    #[must_use]
    pub fn sizes(&self) -> (usize, usize, usize) {
        let state = &*self.state();
        (
            state.registry.subscribers(),
            state.registry.peers(),
            state.ledger.facts(),
        )
    }

    /// Since when nothing is heard of the kernel half; `None` while it is.
    #[must_use]
    pub fn deaf_since(&self) -> Option<MonotonicNs> {
        self.state().coverage.deaf_since()
    }

    /// How much there is, and how much there was.
    #[must_use]
    pub fn tally(&self) -> Tally {
        let state = &*self.state();
        Tally {
            subscribers: state.registry.subscribers(),
            peers: state.registry.peers(),
            sightings: state.sightings,
            verdicts: state.registry.verdicts(),
            blind: state.coverage.blind_since().is_some(),
        }
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
