//! The one place where the path's state is shared: ledger and registry behind one lock. The reader's thread brings
//! sightings and writes the news to subscribers itself, in the same call; sessions bring what subscribers ask.
//!
//! Every call holds the lock for a bounded number of steps ([`CHUNK`]), so that no subscriber makes the reader wait.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ipnet::IpNet;
use obit_protocol::{Heartbeat, Notice, Reason, monitor_message::Message};

use crate::canary::Ear;
use crate::coverage::Coverage;
use crate::ledger::{About, Ledger, Standing};
use crate::record::recorder::Recorder;
use crate::registry::{Flush, Full, Limits, Registry, SubscriberId, Wire};
use crate::sighting::{MonotonicNs, NetnsCookie, Sighting};
use crate::suspicion::{Suspicions, Turn};

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
    canary: Option<Arc<Ear>>,
    state: Mutex<State>,
}

struct State {
    ledger: Ledger,
    registry: Registry,
    suspicions: Suspicions,
    filter: Box<dyn Filter>,
    coverage: Coverage,
    /// What is to be done when there is time: too much for one hold of the lock.
    later: Later,
    /// An address that is looked at although nobody asks about it.
    pinned: Option<IpAddr>,
    recorder: Option<Recorder>,
}

#[derive(Default)]
struct Later {
    /// Silence to be forgotten: of this address, met by this namespace.
    void: BTreeSet<(IpAddr, NetnsCookie)>,
    /// Peers to be looked at again.
    review: BTreeSet<SocketAddr>,
}

impl Later {
    fn is_empty(&self) -> bool {
        self.void.is_empty() && self.review.is_empty()
    }
}

impl State {
    fn watch(&mut self, id: SubscriberId, peer: SocketAddr, now: MonotonicNs) -> Result<(), WatchError> {
        let ip = peer.ip();
        let known = |netns| standing(&self.ledger, &self.suspicions, peer, netns, now);
        if self.registry.watch(id, peer, known)? {
            if self.ledger.ports(ip).next().is_none()
                && let Err(error) = self.filter.insert(ip)
            {
                self.registry.unwatch(id, peer);
                return Err(WatchError::Filter(ip, error));
            }
            self.ledger.watch(peer);
            // What is known of the address from its other ports.
            self.review(peer, now);
        }
        Ok(())
    }

    /// When something is to be done next. Before that, [`Hub::expire`] changes nothing, and is not written down.
    fn next_deadline(&self) -> Option<MonotonicNs> {
        let put_off = (!self.later.is_empty()).then_some(MonotonicNs(0));
        let deadlines = [
            put_off,
            self.ledger.next_deadline(),
            self.registry.next_deadline(),
            self.suspicions.next_deadline(),
        ];
        deadlines.into_iter().flatten().min()
    }

    fn review(&mut self, peer: SocketAddr, now: MonotonicNs) {
        let (ledger, suspicions) = (&self.ledger, &self.suspicions);
        self.registry.review(peer, now, |netns| {
            match standing(ledger, suspicions, peer, netns, now) {
                // Told only to those who knew something: what they knew has expired.
                Standing {
                    reason: Reason::Unspecified,
                    ..
                } => Standing::expired(now),
                known => known,
            }
        });
    }

    /// Looks at every port of an address again: at the first [`CHUNK`] now, at the rest when there is time.
    fn review_address(&mut self, ip: IpAddr, now: MonotonicNs) {
        let mut ports = self.ledger.ports(ip);
        let first: Vec<_> = ports.by_ref().take(CHUNK).collect();
        self.later.review.extend(ports.map(|port| SocketAddr::new(ip, port)));
        for port in first {
            self.review(SocketAddr::new(ip, port), now);
        }
    }

    /// The next heartbeat for those in a namespace.
    fn heartbeat(&self, netns: Option<NetnsCookie>) -> Heartbeat {
        let or_zero = |since: Option<MonotonicNs>| since.map_or(0, |since| since.0);
        Heartbeat {
            seq: self.registry.seq(),
            lost: self.coverage.lost(),
            blind_since_ns: or_zero(self.coverage.blind_since()),
            node_suspect_since_ns: or_zero(self.suspicions.since(netns)),
        }
    }

    /// A namespace begins or ceases to be suspected: everything it watches is to be looked at again.
    fn suspicion_turned(&mut self, netns: NetnsCookie, turn: Turn) {
        let addresses: Vec<_> = self.registry.addresses_of(netns).collect();
        if turn == Turn::Answered {
            // The fault was here: what silence said was said of ourselves.
            self.later.void.extend(addresses.iter().map(|ip| (*ip, netns)));
        }
        for ip in addresses {
            let ports = self.ledger.ports(ip);
            self.later.review.extend(ports.map(|port| SocketAddr::new(ip, port)));
        }
        let heartbeat = self.heartbeat(Some(netns));
        self.registry.beat_all(netns, heartbeat);
        tracing::warn!(
            netns = netns.0,
            suspect = self.suspicions.since(Some(netns)).is_some(),
            "most of what a network namespace watches fell silent at once"
        );
    }

    /// Does some of what was put off. Of an address whose silence is void, other ports than the watched ones know nothing.
    fn catch_up(&mut self, now: MonotonicNs) {
        for _ in 0..CHUNK {
            match self.later.void.pop_first() {
                Some((ip, netns)) => self.ledger.void_silence(ip, netns),
                None => break,
            }
        }
        if !self.later.void.is_empty() {
            return;
        }
        for _ in 0..CHUNK {
            match self.later.review.pop_first() {
                Some(peer) => self.review(peer, now),
                None => break,
            }
        }
    }

    fn unwatch(&mut self, id: SubscriberId, peer: SocketAddr) {
        let last = self.registry.unwatch(id, peer);
        if let Some(netns) = self.registry.netns(id)
            && self.registry.addresses(netns, peer.ip()).0 == 0
        {
            self.suspicions.forget(netns);
        }
        if !last {
            return;
        }
        self.ledger.unwatch(peer);
        if self.ledger.ports(peer.ip()).next().is_none()
            && self.pinned != Some(peer.ip())
            && let Err(error) = self.filter.remove(peer.ip())
        {
            tracing::warn!(ip = %peer.ip(), %error, "the kernel goes on looking at an address nobody asks about");
        }
    }
}

/// What a subscriber in `netns` is to be told of a peer.
fn standing(
    ledger: &Ledger,
    suspicions: &Suspicions,
    peer: SocketAddr,
    netns: Option<NetnsCookie>,
    now: MonotonicNs,
) -> Standing {
    suspicions.temper(netns, ledger.verdict(peer, netns, now))
}

impl Hub {
    /// Nobody has asked for anything; everything is seen from `now` on.
    #[must_use]
    pub fn new(limits: Limits, filter: Box<dyn Filter>, now: MonotonicNs) -> Self {
        let state = State {
            ledger: Ledger::default(),
            registry: Registry::new(limits),
            suspicions: Suspicions::default(),
            filter,
            coverage: Coverage::new(now),
            later: Later::default(),
            pinned: None,
            recorder: None,
        };
        Self {
            limits,
            canary: None,
            state: Mutex::new(state),
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
