//! The ledger, between the sightings and the registry: what is known of every watched peer, and what follows from it.
//!
//! Pure: time is an argument, nothing is random, the same sightings give the same verdicts. Rules it follows:
//!
//! - Evidence has a *strength* (what was seen) and a *scope*: the namespace that saw it. What a subscriber's own
//!   namespace saw may condemn a peer; what only one other saw makes it suspect at most. Likewise an answer given to
//!   another namespace voids what others saw, and leaves what one's own saw as a suspicion.
//! - What the node itself knows holds for all: nobody listens on a port of one of its pods any more.
//! - The gravest evidence that still counts decides. Newer, weaker evidence never weakens a verdict: only a handshake
//!   does, at once, or time, after [`LIFETIME`] without fresh evidence.
//! - A refusal is about an address and port; silence and "no way there" are about the address, whatever the port.
//! - Behind a virtual address (a Kubernetes Service's) are many peers, and which one a sighting was about is not known:
//!   it says something of its connection, and nothing of the address.
//! - Kubernetes says who has an address and whether he was told to end, never that he is well: a pod that is "ready" and refuses
//!   is dead. Where another pod has the address, what was held against the one before is void.
//! - What happens on loopback and link-local addresses means something only within its own namespace. So does all that happens in
//!   one that a user namespace owns: its addresses are what its owner says.

mod address;
mod evidence;
mod place;
mod pod;
mod port;
mod standing;

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use obit_protocol::{Reason, Verdict};

use crate::endpoint::Listed;
use crate::sighting::{MonotonicNs, NetnsCookie, Observation, Sighting};
use evidence::{Order, Silent};
use place::{Place, Watched, Where, scope_of};

pub use evidence::{AGREEMENT, LIFETIME, WITNESSES_MAX};
pub use port::{OPEN_MAX, TOGETHER};
pub use standing::{ConnectionNews, Standing};

/// What is known of every watched peer.
#[derive(Debug, Default)]
pub struct Ledger {
    watched: HashMap<IpAddr, Watched>,
    due: BTreeSet<(MonotonicNs, IpAddr)>,
    virtual_addresses: Vec<IpNet>,
}

/// What a sighting may have changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Whose verdicts to look at again.
    pub about: About,
    /// What is now held of single connections.
    pub connections: Vec<ConnectionNews>,
}

/// Whose verdicts may have changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    /// Nobody's.
    Nobody,
    /// One peer's.
    Peer(SocketAddr),
    /// Those of every watched port of an address.
    Address(IpAddr),
}

impl Change {
    const NONE: Self = Self::of(About::Nobody);

    const fn of(about: About) -> Self {
        Self {
            about,
            connections: Vec::new(),
        }
    }
}

impl Ledger {
    /// A ledger that holds nothing against the addresses in these ranges.
    #[must_use]
    pub fn with_virtual_addresses(ranges: Vec<IpNet>) -> Self {
        Self {
            virtual_addresses: ranges,
            ..Self::default()
        }
    }

    fn is_virtual(&self, ip: IpAddr) -> bool {
        self.virtual_addresses.iter().any(|range| range.contains(&ip))
    }

    /// Begins to remember what happens to a peer. Watching it twice changes nothing.
    pub fn watch(&mut self, peer: SocketAddr) {
        self.watched.entry(peer.ip()).or_default().ports.insert(peer.port());
    }

    /// Forgets a peer. What is known of its address goes with the last port.
    pub fn unwatch(&mut self, peer: SocketAddr) {
        let Some(watched) = self.watched.get_mut(&peer.ip()) else {
            return;
        };
        watched.ports.remove(&peer.port());
        for place in watched.places.values_mut() {
            place.ports.remove(&peer.port());
        }
        if watched.ports.is_empty() {
            watched.due.map(|at| self.due.remove(&(at, peer.ip())));
            self.watched.remove(&peer.ip());
        }
    }

    /// The watched ports of an address, in order.
    pub fn ports(&self, ip: IpAddr) -> impl Iterator<Item = u16> + '_ {
        self.watched
            .get(&ip)
            .into_iter()
            .flat_map(|watched| watched.ports.iter().copied())
    }

    /// What the peer is held to be for a subscriber in `netns` (`None`: its namespace is not known, so everything was
    /// seen elsewhere).
    #[must_use]
    pub fn verdict(&self, peer: SocketAddr, netns: Option<NetnsCookie>, now: MonotonicNs) -> Standing {
        let netns = netns.filter(|netns| netns.is_known());
        let Some(watched) = self.watched.get(&peer.ip()) else {
            return Standing::UNKNOWN;
        };
        let held = |scope: Option<NetnsCookie>| {
            let place = scope.and_then(|scope| watched.places.get(&scope));
            place.map(|place| place.standing(peer.port(), netns, now))
        };
        let scope = scope_of(peer.ip(), netns.unwrap_or(NetnsCookie::UNKNOWN));
        let on_node = held(scope).unwrap_or(Standing::UNKNOWN);
        // What is known to its own namespace alone, where a user namespace owns that.
        match held(netns.filter(|own| scope != Some(*own))) {
            Some(own) if own.verdict == Verdict::Alive && own.at > on_node.at => own,
            own => on_node.or_graver(own),
        }
    }

    /// Takes in a sighting; those about addresses nobody watches are dropped.
    pub fn observe(&mut self, now: MonotonicNs, sighting: &Sighting) -> Change {
        let ip = sighting.peer.ip();
        let is_virtual = self.is_virtual(ip);
        let Some(watched) = self.watched.get_mut(&ip) else {
            return Change::NONE;
        };
        if is_virtual {
            // Two connections that stall may go to two peers, and do not confirm each other.
            return Change {
                about: About::Nobody,
                connections: of_connection(sighting),
            };
        }
        if sighting.what == Observation::SynStart {
            return Change::NONE;
        }
        let port_is_watched = watched.ports.contains(&sighting.peer.port());
        let Some(place) = watched.place(ip, Where::of(sighting), now) else {
            return Change::NONE;
        };
        let change = apply(place, port_is_watched, sighting);
        watched.drop_if_empty(sighting.peer, Where::of(sighting));
        self.schedule(ip);
        change
    }

    /// Takes in what Kubernetes says of a peer: `None`, that it is no endpoint of any service. Dropped if nobody watches it.
    pub fn hear(&mut self, now: MonotonicNs, peer: SocketAddr, listed: Option<Listed>) -> About {
        let ip = peer.ip();
        let Some(watched) = self.watched.get_mut(&ip) else {
            return About::Nobody;
        };
        if !watched.ports.contains(&peer.port()) {
            return About::Nobody;
        }
        let Some(place) = watched.place(ip, Where::ON_NODE, now) else {
            return About::Nobody;
        };
        let port = place.ports.entry(peer.port()).or_default();
        let another = port.hear(listed, now);
        if another {
            place.address.handed_over();
        }
        watched.drop_if_empty(peer, Where::ON_NODE);
        self.schedule(ip);
        if another { About::Address(ip) } else { About::Peer(peer) }
    }

    /// When the next piece of evidence expires.
    #[must_use]
    pub fn next_deadline(&self) -> Option<MonotonicNs> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Drops the evidence that no longer counts at `now` and appends the addresses it was about.
    pub fn expire(&mut self, now: MonotonicNs, changed: &mut Vec<IpAddr>) {
        while let Some((at, ip)) = self.due.first().copied().filter(|(at, _)| *at <= now) {
            self.due.remove(&(at, ip));
            if let Some(watched) = self.watched.get_mut(&ip) {
                watched.due = None;
                watched.sweep(now);
                changed.push(ip);
            }
            self.schedule(ip);
        }
    }

    /// What silence said of an address to one namespace is void: the fault was that namespace's own.
    pub fn void_silence(&mut self, ip: IpAddr, netns: NetnsCookie) {
        let Some(watched) = self.watched.get_mut(&ip) else {
            return;
        };
        for scope in [scope_of(ip, netns), Some(netns)].into_iter().flatten() {
            if let Some(place) = watched.places.get_mut(&scope) {
                place.address.void_silence(netns);
            }
        }
    }

    /// Sightings were lost: which connections are open is no longer known. Verdicts stay.
    pub fn forget_connections(&mut self) {
        for place in self
            .watched
            .values_mut()
            .flat_map(|watched| watched.places.values_mut())
        {
            place.ports.values_mut().for_each(|port| port.forget_connections());
        }
    }

    /// How many facts are remembered: the measure of the ledger's memory.
    #[must_use]
    pub fn facts(&self) -> usize {
        self.watched.values().map(Watched::len).sum()
    }

    /// Whether nothing is watched.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.watched.is_empty()
    }

    /// Puts the address on the list of what expires, once, at the earliest time something of it may. Evidence only gets
    /// newer: what was renewed meanwhile is found still to hold then, and the address is put on the list again.
    fn schedule(&mut self, ip: IpAddr) {
        if let Some(watched) = self.watched.get_mut(&ip)
            && watched.due.is_none()
            && let Some(at) = watched.expires()
        {
            watched.due = Some(at);
            self.due.insert((at, ip));
        }
    }
}

/// What a sighting says of its connection, whatever else is known.
fn of_connection(sighting: &Sighting) -> Vec<ConnectionNews> {
    let held = match sighting.what {
        Observation::Reset => Some((Verdict::Dead, Reason::Reset)),
        // After a FIN the peer's last words may still be unread: no new work, but nothing to kill.
        Observation::PeerClosed => Some((Verdict::Draining, Reason::PeerClosed)),
        Observation::TimedOut => Some((Verdict::Dead, Reason::TimedOut)),
        Observation::Stalled => Some((Verdict::Suspect, Reason::Stalled)),
        Observation::SoftError => Some((Verdict::Suspect, Reason::Unreachable)),
        _ => None,
    };
    let news = |(verdict, reason)| connection_news(sighting, Silent::of(sighting), verdict, reason);
    held.map(news).into_iter().collect()
}

/// What follows from a sighting for one of its address's connections.
fn connection_news(sighting: &Sighting, which: Silent, verdict: Verdict, reason: Reason) -> ConnectionNews {
    ConnectionNews {
        peer: SocketAddr::new(sighting.peer.ip(), which.port),
        socket: which.socket,
        netns: sighting.netns,
        standing: Standing {
            verdict,
            reason,
            evidence: 1,
            at: sighting.at,
        },
    }
}

/// The table of verdicts, from its left-hand side: what each observation does to what is known.
fn apply(place: &mut Place, port_is_watched: bool, sighting: &Sighting) -> Change {
    let Sighting {
        at,
        netns,
        socket,
        peer,
        what,
        ..
    } = *sighting;
    let (ip, silent) = (peer.ip(), Silent::of(sighting));
    let mut port = port_is_watched.then(|| place.ports.entry(peer.port()).or_default());
    let about_peer = if port.is_some() {
        About::Peer(peer)
    } else {
        About::Nobody
    };
    let of_peer = |counts| Change::of(if counts { about_peer } else { About::Nobody });
    let of_address = |counts| Change::of(if counts { About::Address(ip) } else { About::Nobody });
    match what {
        Observation::SynStart | Observation::Home => Change::NONE,
        Observation::Refused => of_peer(port.is_some_and(|port| port.refused(netns, at))),
        Observation::ListenerClosed => of_peer(port.is_some_and(|port| port.listener_closed(at))),
        Observation::ListenerOpened => {
            if let Some(port) = &mut port {
                port.listener_opened();
            }
            Change::of(about_peer)
        }
        Observation::Unreachable => of_address(place.address.unreachable(netns, at)),
        Observation::SynTimeout => of_address(place.address.dial_timed_out(netns, at)),
        Observation::Abandoned => {
            place.address.dial_abandoned(netns, at);
            Change::NONE
        }
        Observation::SoftError => Change {
            about: About::Address(ip),
            connections: if place.address.soft_error(netns, at) {
                of_connection(sighting)
            } else {
                vec![]
            },
        },
        Observation::SynStalled { waited } => of_address(place.address.dial_stalled(netns, silent, at, waited)),
        Observation::SynRetransmit => of_address(place.address.dial_retransmitted(netns, at)),
        Observation::Handshake { .. } => {
            if let Some(port) = &mut port {
                port.answered(netns, socket, at);
            }
            let held = place.address.answered(netns, at);
            Change::of(if held { About::Address(ip) } else { about_peer })
        }
        Observation::Reset | Observation::PeerClosed => {
            if let Some(port) = &mut port {
                port.ended_by_peer(socket, at);
            }
            Change {
                about: about_peer,
                connections: of_connection(sighting),
            }
        }
        Observation::Stalled => {
            let dead = |which| connection_news(sighting, which, Verdict::Dead, Reason::Stalled);
            let order = place.address.connection_stalled(netns, silent, at);
            let connections = match order {
                None | Some(Order::First) => of_connection(sighting),
                Some(Order::FirstAgain) => vec![],
                Some(Order::Further) => vec![dead(silent)],
                Some(Order::Second(first)) => vec![dead(first), dead(silent)],
            };
            Change {
                connections,
                ..of_address(order.is_some())
            }
        }
        Observation::TimedOut => {
            if let Some(port) = &mut port {
                port.ended(socket);
            }
            Change {
                connections: of_connection(sighting),
                ..of_address(place.address.connection_timed_out(netns, silent, at))
            }
        }
        Observation::Ended => {
            if let Some(port) = &mut port {
                port.ended(socket);
            }
            Change::NONE
        }
    }
}

#[cfg(test)]
mod tests;
