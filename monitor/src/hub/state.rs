//! What the hub's lock guards, and the steps made under it: each a bounded number of peers.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use obit_protocol::{Heartbeat, Reason};

use super::{CHUNK, Filter, WatchError};
use crate::coverage::Coverage;
use crate::ledger::{Ledger, Standing};
use crate::record::recorder::Recorder;
use crate::registry::{Limits, Registry, SubscriberId};
use crate::sighting::{MonotonicNs, NetnsCookie, Observation};
use crate::suspicion::{Suspicions, Turn};

/// What the hub's lock guards.
pub(super) struct State {
    pub(super) ledger: Ledger,
    pub(super) registry: Registry,
    pub(super) suspicions: Suspicions,
    pub(super) filter: Box<dyn Filter>,
    pub(super) coverage: Coverage,
    /// What is to be done when there is time: too much for one hold of the lock.
    pub(super) later: Later,
    /// An address that is looked at although nobody asks about it.
    pub(super) pinned: Option<IpAddr>,
    pub(super) recorder: Option<Recorder>,
    /// How many sightings of each kind came in.
    pub(super) sightings: [u64; Observation::KINDS.len()],
}

#[derive(Default)]
pub(super) struct Later {
    /// Silence to be forgotten: of this address, met by this namespace.
    void: BTreeSet<(IpAddr, NetnsCookie)>,
    /// Peers to be looked at again.
    pub(super) review: BTreeSet<SocketAddr>,
}

impl Later {
    fn is_empty(&self) -> bool {
        self.void.is_empty() && self.review.is_empty()
    }
}

impl State {
    /// Nobody has asked for anything; everything is seen from `now` on.
    pub(super) fn new(limits: Limits, filter: Box<dyn Filter>, now: MonotonicNs) -> Self {
        Self {
            ledger: Ledger::default(),
            registry: Registry::new(limits),
            suspicions: Suspicions::default(),
            filter,
            coverage: Coverage::new(now),
            later: Later::default(),
            pinned: None,
            recorder: None,
            sightings: [0; Observation::KINDS.len()],
        }
    }

    pub(super) fn watch(&mut self, id: SubscriberId, peer: SocketAddr, now: MonotonicNs) -> Result<(), WatchError> {
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

    /// When something is to be done next. Before that, `Hub::expire` changes nothing, and is not written down.
    pub(super) fn next_deadline(&self) -> Option<MonotonicNs> {
        let put_off = (!self.later.is_empty()).then_some(MonotonicNs(0));
        let deadlines = [
            put_off,
            self.ledger.next_deadline(),
            self.registry.next_deadline(),
            self.suspicions.next_deadline(),
        ];
        deadlines.into_iter().flatten().min()
    }

    pub(super) fn review(&mut self, peer: SocketAddr, now: MonotonicNs) {
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
    pub(super) fn review_address(&mut self, ip: IpAddr, now: MonotonicNs) {
        let mut ports = self.ledger.ports(ip);
        let first: Vec<_> = ports.by_ref().take(CHUNK).collect();
        self.later.review.extend(ports.map(|port| SocketAddr::new(ip, port)));
        for port in first {
            self.review(SocketAddr::new(ip, port), now);
        }
    }

    /// The next heartbeat for those in a namespace.
    pub(super) fn heartbeat(&self, netns: Option<NetnsCookie>) -> Heartbeat {
        let or_zero = |since: Option<MonotonicNs>| since.map_or(0, |since| since.0);
        Heartbeat {
            seq: self.registry.seq(),
            lost: self.coverage.lost(),
            blind_since_ns: or_zero(self.coverage.blind_since()),
            node_suspect_since_ns: or_zero(self.suspicions.since(netns)),
        }
    }

    /// A namespace begins or ceases to be suspected: everything it watches is to be looked at again.
    pub(super) fn suspicion_turned(&mut self, netns: NetnsCookie, turn: Turn) {
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
    pub(super) fn catch_up(&mut self, now: MonotonicNs) {
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

    pub(super) fn unwatch(&mut self, id: SubscriberId, peer: SocketAddr) {
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
