//! What is known of one address and port: refusals, answers, the connections open to it, and what Kubernetes says of the pod. The
//! ledger keeps one of these per watched peer of which anything is known.

use std::collections::HashSet;
use std::time::Duration;

use obit_protocol::{Reason, Verdict};

use super::Standing;
use super::evidence::{Evidence, LIFETIME, Witnesses, holding, sweep};
use super::pod::Pod;
use crate::endpoint::Listed;
use crate::sighting::{MonotonicNs, NetnsCookie, SocketCookie};

/// Connections that end within this time end together.
pub const TOGETHER: Duration = Duration::from_millis(100);

/// How many open connections are known by name per peer; of more only the number is kept.
pub const OPEN_MAX: usize = 4_096;

#[derive(Debug, Default)]
pub(super) struct Port {
    alive: Option<Evidence>,
    refused: Witnesses,
    all_closed: Option<Evidence>,
    listener_closed: Option<Evidence>,
    open: HashSet<SocketCookie>,
    open_unnamed: usize,
    ended_by_peer: Option<MonotonicNs>,
    pod: Pod,
}

impl Port {
    /// What Kubernetes says of who has this address and port. Returns whether that is another pod than before: what was held
    /// against the port is void then.
    pub(super) fn hear(&mut self, listed: Option<Listed>, now: MonotonicNs) -> bool {
        let another = self.pod.hear(listed, now);
        if another {
            self.listener_opened();
        }
        another
    }

    /// The peer answered a dial from `netns`: it lives.
    pub(super) fn answered(&mut self, netns: NetnsCookie, socket: SocketCookie, at: MonotonicNs) {
        Evidence::note(&mut self.alive, at);
        self.refused.answered(netns);
        self.all_closed = None;
        self.listener_closed = None;
        self.ended_by_peer = None;
        self.pod.answered(at);
        if self.open.len() < OPEN_MAX {
            self.open.insert(socket);
        } else {
            self.open_unnamed += 1;
        }
    }

    /// A dial was refused. Returns whether that counts: not if another was answered later.
    pub(super) fn refused(&mut self, netns: NetnsCookie, at: MonotonicNs) -> bool {
        let counts = !self.answered_since(at);
        if counts {
            self.refused.note(netns, at);
        }
        counts
    }

    /// Nobody listens there any more, as the kernel of this node knows. Returns whether that counts, as above.
    pub(super) fn listener_closed(&mut self, at: MonotonicNs) -> bool {
        let counts = !self.answered_since(at);
        if counts {
            Evidence::note(&mut self.listener_closed, at);
        }
        counts
    }

    /// Somebody listens there again: what was held against the port is void.
    pub(super) fn listener_opened(&mut self) {
        self.refused = Witnesses::default();
        self.all_closed = None;
        self.listener_closed = None;
    }

    fn answered_since(&self, at: MonotonicNs) -> bool {
        self.alive.is_some_and(|alive| alive.last() > at)
    }

    /// The peer ended a connection. When it was the last one, and the peer ended the others with it within
    /// [`TOGETHER`], that is evidence against the peer; a peer that closes one connection after another is tidying up.
    /// Connections whose handshake was not seen do not count: there may be more of them.
    pub(super) fn ended_by_peer(&mut self, socket: SocketCookie, at: MonotonicNs) {
        let known = self.ended(socket);
        let before = self.ended_by_peer.replace(at);
        let together = before.is_none_or(|before| {
            let gap = before.distance(at);
            gap <= TOGETHER || gap >= LIFETIME
        });
        if known && together && self.open.is_empty() && self.open_unnamed == 0 {
            Evidence::note(&mut self.all_closed, at);
        }
    }

    /// A connection ended; returns whether it was known.
    pub(super) fn ended(&mut self, socket: SocketCookie) -> bool {
        if self.open.remove(&socket) {
            return true;
        }
        let unnamed = self.open_unnamed > 0;
        self.open_unnamed = self.open_unnamed.saturating_sub(1);
        unnamed
    }

    /// Sightings were lost: which connections are open is no longer known.
    pub(super) fn forget_connections(&mut self) {
        self.open.clear();
        self.open_unnamed = 0;
    }

    pub(super) fn standing(&self, netns: Option<NetnsCookie>, now: MonotonicNs) -> Standing {
        let own = netns.filter(|netns| netns.is_known());
        let alive = holding(self.alive, now).map(|evidence| Standing {
            at: evidence.last(),
            ..evidence.standing(Verdict::Alive, Reason::Handshake)
        });
        let all_closed = holding(self.all_closed, now).map(|it| it.standing(Verdict::Suspect, Reason::AllClosed));
        let listener_closed =
            holding(self.listener_closed, now).map(|it| it.standing(Verdict::Dead, Reason::ListenerClosed));
        Standing::UNKNOWN
            .or_graver(alive)
            .or_graver(all_closed)
            .or_graver(listener_closed)
            .or_graver(self.refused.standing(own, now, Reason::Refused))
            .or_graver(self.pod.standing(now))
    }

    pub(super) fn sweep(&mut self, now: MonotonicNs) {
        self.refused.sweep(now);
        sweep(&mut self.alive, now);
        sweep(&mut self.all_closed, now);
        sweep(&mut self.listener_closed, now);
        self.ended_by_peer = self.ended_by_peer.filter(|at| now.since(*at) < LIFETIME);
        self.pod.sweep(now);
    }

    pub(super) fn expires(&self) -> Option<MonotonicNs> {
        let ended = self.ended_by_peer.map(|at| at + LIFETIME);
        let slots = self.alive.iter().chain(&self.all_closed).chain(&self.listener_closed);
        slots
            .map(Evidence::expires)
            .chain(self.refused.expires())
            .chain(ended)
            .chain(self.pod.expires())
            .min()
    }

    /// Whether nothing is known.
    pub(super) fn is_empty(&self) -> bool {
        self.expires().is_none() && self.open.is_empty() && self.open_unnamed == 0 && self.pod.is_empty()
    }

    /// How many facts are remembered: the measure of its memory.
    pub(super) fn len(&self) -> usize {
        self.open.len() + self.refused.len()
    }
}
