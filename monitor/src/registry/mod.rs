//! The registry, between the ledger and the sockets: who asked about whom, and what each was told last. Turns verdicts
//! into notices, and only changes into news.

mod addresses;
mod damping;
mod limits;
mod outbox;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use obit_protocol::{Heartbeat, Notice, monitor_message::Message};

use crate::ledger::{ConnectionNews, Standing};
use crate::sighting::{MonotonicNs, NetnsCookie};
use addresses::Addresses;
use damping::Damper;
use outbox::Outbox;

pub use damping::FALL_INTERVAL;
pub use limits::{Full, Limits};
pub use outbox::{CONNECTIONS_MAX, Flush, Wire};

/// How many verdicts there are.
pub const VERDICTS: usize = 5;

/// A subscriber, by a number never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SubscriberId(u64);

impl SubscriberId {
    /// The number.
    #[must_use]
    pub fn number(self) -> u64 {
        self.0
    }
}

/// Who asked about whom, and what each was told last.
pub struct Registry {
    limits: Limits,
    subscribers: HashMap<SubscriberId, Subscriber>,
    peers: HashMap<SocketAddr, Watchers>,
    addresses: Addresses,
    /// Peers whose fall is held back, and until when.
    held: BTreeSet<(MonotonicNs, SocketAddr)>,
    watches: usize,
    next_id: u64,
    seq: u64,
    /// Notices about peers so far, by verdict.
    verdicts: [u64; VERDICTS],
    /// Who has something to be told since the last flush.
    touched: Vec<SubscriberId>,
}

struct Subscriber {
    netns: Option<NetnsCookie>,
    peers: HashSet<SocketAddr>,
    outbox: Outbox,
    wire: Arc<dyn Wire>,
    touched: bool,
}

/// Those who watch one peer, by the namespace they are in: a verdict is the same for all of one namespace.
type Watchers = BTreeMap<Option<NetnsCookie>, Audience>;

struct Audience {
    told: Standing,
    seq: u64,
    damper: Damper,
    members: HashSet<SubscriberId>,
}

impl Registry {
    /// Nobody has asked for anything yet.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            subscribers: HashMap::new(),
            peers: HashMap::new(),
            addresses: Addresses::default(),
            held: BTreeSet::new(),
            watches: 0,
            next_id: 0,
            seq: 0,
            verdicts: [0; VERDICTS],
            touched: Vec::new(),
        }
    }

    /// The number of the newest notice.
    #[must_use]
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// How many notices about peers there were, by the number of their verdict.
    #[must_use]
    pub fn verdicts(&self) -> [u64; VERDICTS] {
        self.verdicts
    }

    /// How many subscribers there are.
    #[must_use]
    pub fn subscribers(&self) -> usize {
        self.subscribers.len()
    }

    /// How many peers are watched by anyone.
    #[must_use]
    pub fn peers(&self) -> usize {
        self.peers.len()
    }

    /// Someone in `netns` (`None`: not known) subscribes and is told things over `wire`.
    ///
    /// # Errors
    /// [`Full::Subscribers`].
    pub fn join(&mut self, netns: Option<NetnsCookie>, wire: Arc<dyn Wire>) -> Result<SubscriberId, Full> {
        if self.subscribers.len() >= self.limits.subscribers {
            return Err(Full::Subscribers(self.limits.subscribers));
        }
        let id = SubscriberId(self.next_id);
        self.next_id += 1;
        let subscriber = Subscriber {
            netns: netns.filter(|netns| netns.is_known()),
            peers: HashSet::new(),
            outbox: Outbox::default(),
            wire,
            touched: false,
        };
        self.subscribers.insert(id, subscriber);
        Ok(id)
    }

    /// Up to `count` of the peers a subscriber watches.
    #[must_use]
    pub fn some_peers(&self, id: SubscriberId, count: usize) -> Vec<SocketAddr> {
        let subscriber = self.subscribers.get(&id);
        subscriber.map_or_else(Vec::new, |subscriber| {
            subscriber.peers.iter().take(count).copied().collect()
        })
    }

    /// A subscriber is gone. Its peers must have been unwatched before.
    pub fn leave(&mut self, id: SubscriberId) {
        debug_assert!(self.subscribers.get(&id).is_none_or(|gone| gone.peers.is_empty()));
        self.subscribers.remove(&id);
    }

    /// A subscriber asks about a peer, of which `standing` tells what is known for its namespace. Returns whether nobody
    /// watched it before.
    ///
    /// # Errors
    /// [`Full::Peers`] or [`Full::Watches`].
    pub fn watch(
        &mut self,
        id: SubscriberId,
        peer: SocketAddr,
        standing: impl FnOnce(Option<NetnsCookie>) -> Standing,
    ) -> Result<bool, Full> {
        let Some(subscriber) = self.subscribers.get_mut(&id) else {
            return Ok(false);
        };
        if subscriber.peers.contains(&peer) {
            return Ok(false);
        }
        if subscriber.peers.len() >= self.limits.peers {
            return Err(Full::Peers(self.limits.peers));
        }
        if self.watches >= self.limits.watches {
            return Err(Full::Watches(self.limits.watches));
        }
        subscriber.peers.insert(peer);
        self.watches += 1;
        let watchers = self.peers.entry(peer).or_default();
        let first = watchers.is_empty();
        let audience = watchers.entry(subscriber.netns).or_insert_with(|| {
            self.addresses.add(subscriber.netns, peer.ip());
            Audience {
                told: standing(subscriber.netns),
                seq: self.seq,
                damper: Damper::default(),
                members: HashSet::new(),
            }
        });
        audience.members.insert(id);
        Ok(first)
    }

    /// A subscriber does not care about a peer any more. Returns whether now nobody does.
    pub fn unwatch(&mut self, id: SubscriberId, peer: SocketAddr) -> bool {
        let Some(subscriber) = self.subscribers.get_mut(&id) else {
            return false;
        };
        if !subscriber.peers.remove(&peer) {
            return false;
        }
        self.watches -= 1;
        subscriber.outbox.peer_left(peer);
        let Some(watchers) = self.peers.get_mut(&peer) else {
            return false;
        };
        if let Some(audience) = watchers.get_mut(&subscriber.netns) {
            audience.members.remove(&id);
            if audience.members.is_empty() {
                watchers.remove(&subscriber.netns);
                self.addresses.remove(subscriber.netns, peer.ip());
            }
        }
        let last = watchers.is_empty();
        if last {
            self.peers.remove(&peer);
        }
        last
    }

    /// What a subscriber may be told of a peer it watches; `None` if nothing is known.
    #[must_use]
    pub fn state(&self, id: SubscriberId, peer: SocketAddr) -> Option<Notice> {
        let netns = self.subscribers.get(&id)?.netns;
        let audience = self.peers.get(&peer)?.get(&netns)?;
        let known = audience.told.evidence > 0;
        known.then(|| notice(peer, audience.seq, &audience.told))
    }

    /// Looks at a peer again: whoever would now be told something else will be, at the next flush, or later if the peer
    /// falls too often ([`FALL_INTERVAL`]): see [`next_deadline`](Self::next_deadline).
    pub fn review(&mut self, peer: SocketAddr, now: MonotonicNs, verdict: impl Fn(Option<NetnsCookie>) -> Standing) {
        let Some(watchers) = self.peers.get_mut(&peer) else {
            return;
        };
        for (netns, audience) in watchers {
            let standing = verdict(*netns);
            if audience.told.says_the_same_as(&standing) {
                continue;
            }
            if let Err(until) = audience.damper.admit(audience.told.verdict, standing.verdict, now) {
                self.held.insert((until, peer));
                continue;
            }
            self.seq += 1;
            if let Some(count) = self.verdicts.get_mut(standing.verdict as usize) {
                *count += 1;
            }
            (audience.told, audience.seq) = (standing, self.seq);
            for id in &audience.members {
                if let Some(subscriber) = self.subscribers.get_mut(id) {
                    subscriber.outbox.peer_changed(peer);
                    subscriber.touch(*id, &mut self.touched);
                }
            }
        }
    }

    /// When the next peer whose fall is held back is to be looked at again.
    #[must_use]
    pub fn next_deadline(&self) -> Option<MonotonicNs> {
        self.held.first().map(|(until, _)| *until)
    }

    /// A peer that is to be looked at again by `now`.
    pub fn pop_due(&mut self, now: MonotonicNs) -> Option<SocketAddr> {
        let due = self.held.first().copied().filter(|(until, _)| *until <= now)?;
        self.held.remove(&due);
        Some(due.1)
    }

    /// How many addresses the subscribers of a namespace watch, and whether `ip` is one of them.
    #[must_use]
    pub fn addresses(&self, netns: NetnsCookie, ip: IpAddr) -> (usize, bool) {
        self.addresses.count(netns, ip)
    }

    /// The addresses the subscribers of a namespace watch.
    pub fn addresses_of(&self, netns: NetnsCookie) -> impl Iterator<Item = IpAddr> + '_ {
        self.addresses.of(netns)
    }

    /// The namespace of a subscriber; `None` if it is not known.
    #[must_use]
    pub fn netns(&self, id: SubscriberId) -> Option<NetnsCookie> {
        self.subscribers.get(&id)?.netns
    }

    /// News of a connection, for those in its namespace who watch its peer.
    pub fn tell_of_connection(&mut self, news: &ConnectionNews) {
        let own = Some(news.netns).filter(|netns| netns.is_known());
        let audience = own.and_then(|_| self.peers.get(&news.peer)?.get(&own));
        let Some(audience) = audience else {
            return;
        };
        self.seq += 1;
        let notice = Notice {
            socket_cookie: news.socket.0,
            ..notice(news.peer, self.seq, &news.standing)
        };
        for id in &audience.members {
            if let Some(subscriber) = self.subscribers.get_mut(id) {
                subscriber.outbox.connection_changed(notice.clone());
                subscriber.touch(*id, &mut self.touched);
            }
        }
    }

    /// An answer for one subscriber, to be flushed by its session.
    pub fn reply(&mut self, id: SubscriberId, message: Message) {
        if let Some(subscriber) = self.subscribers.get_mut(&id) {
            subscriber.outbox.reply(message);
        }
    }

    /// The next heartbeat for one subscriber, to be flushed by its session.
    pub fn beat(&mut self, id: SubscriberId, heartbeat: Heartbeat) {
        if let Some(subscriber) = self.subscribers.get_mut(&id) {
            subscriber.outbox.beat(heartbeat);
        }
    }

    /// A heartbeat out of turn for everyone in a namespace who watches anything, sent at the next flush.
    pub fn beat_all(&mut self, netns: NetnsCookie, heartbeat: Heartbeat) {
        for (id, subscriber) in &mut self.subscribers {
            if subscriber.netns == Some(netns) && !subscriber.peers.is_empty() {
                subscriber.outbox.beat(heartbeat);
                subscriber.touch(*id, &mut self.touched);
            }
        }
    }

    /// The last words to one subscriber, to be flushed by its session. Nothing follows them.
    pub fn close(&mut self, id: SubscriberId, goodbye: Message) {
        if let Some(subscriber) = self.subscribers.get_mut(&id) {
            subscriber.outbox.close(goodbye);
        }
    }

    /// Writes to everyone touched since the last call what they take at once; their sessions write the rest.
    pub fn flush_touched(&mut self, now: MonotonicNs) {
        for id in std::mem::take(&mut self.touched) {
            if let Some(subscriber) = self.subscribers.get_mut(&id) {
                subscriber.touched = false;
            }
            if self.flush(id, now) != Flush::Empty
                && let Some(subscriber) = self.subscribers.get(&id)
            {
                subscriber.wire.wake();
            }
        }
    }

    /// Writes to one subscriber what it takes at once.
    pub fn flush(&mut self, id: SubscriberId, now: MonotonicNs) -> Flush {
        let Some(Subscriber {
            netns, outbox, wire, ..
        }) = self.subscribers.get_mut(&id)
        else {
            return Flush::Broken;
        };
        let newest = |peer| {
            let audience = self.peers.get(&peer)?.get(netns)?;
            Some(notice(peer, audience.seq, &audience.told))
        };
        outbox.flush(wire.as_ref(), now, newest)
    }

    /// Encoded bytes a subscriber has not taken.
    #[must_use]
    pub fn backlog(&self, id: SubscriberId) -> usize {
        self.subscribers
            .get(&id)
            .map_or(0, |subscriber| subscriber.outbox.backlog())
    }

    /// For how long a subscriber has taken nothing although there was something to take.
    #[must_use]
    pub fn blocked_for(&self, id: SubscriberId, now: MonotonicNs) -> Duration {
        let subscriber = self.subscribers.get(&id);
        subscriber.map_or(Duration::ZERO, |subscriber| subscriber.outbox.blocked_for(now))
    }
}

impl Subscriber {
    fn touch(&mut self, id: SubscriberId, touched: &mut Vec<SubscriberId>) {
        if !self.touched {
            self.touched = true;
            touched.push(id);
        }
    }
}

fn notice(peer: SocketAddr, seq: u64, standing: &Standing) -> Notice {
    Notice {
        seq,
        peer: Some(peer.into()),
        verdict: standing.verdict.into(),
        reason: standing.reason.into(),
        evidence: standing.evidence,
        kernel_ns: standing.at.0,
        socket_cookie: 0,
    }
}

#[cfg(test)]
mod tests;
