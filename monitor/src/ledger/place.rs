//! A watched address and the places where something is known of it: one for all namespaces, or one for each where the
//! address means something else in each.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use super::Standing;
use super::address::Address;
use super::evidence::WITNESSES_MAX;
use super::port::Port;
use crate::sighting::{MonotonicNs, NetnsCookie, Sighting};

/// Where something was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Where {
    pub(super) netns: NetnsCookie,
    /// See [`Sighting::in_user_ns`].
    pub(super) in_user_ns: bool,
}

impl Where {
    /// On the node, and in no namespace in particular.
    pub(super) const ON_NODE: Self = Self {
        netns: NetnsCookie::UNKNOWN,
        in_user_ns: false,
    };

    /// Where a sighting was made.
    pub(super) fn of(sighting: &Sighting) -> Self {
        Self {
            netns: sighting.netns,
            in_user_ns: sighting.in_user_ns,
        }
    }

    /// The scope of what was seen of an address here.
    pub(super) fn scope(self, ip: IpAddr) -> Option<NetnsCookie> {
        match self.in_user_ns {
            false => scope_of(ip, self.netns),
            true => Some(self.netns).filter(|netns| netns.is_known()),
        }
    }
}

/// The scope of an address: `UNKNOWN` stands for the whole node, anything else for one namespace. `None`: an address
/// that means something else in each namespace, and which one is not known.
pub(super) fn scope_of(ip: IpAddr, netns: NetnsCookie) -> Option<NetnsCookie> {
    let local = match ip {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unicast_link_local(),
    };
    match local {
        false => Some(NetnsCookie::UNKNOWN),
        true => Some(netns).filter(|netns| netns.is_known()),
    }
}

/// A watched address.
#[derive(Debug, Default)]
pub(super) struct Watched {
    pub(super) ports: BTreeSet<u16>,
    /// Mostly one. In a box: a node of the map has room for eleven, and would hold as many places.
    pub(super) places: BTreeMap<NetnsCookie, Box<Place>>,
    /// When it is next to be swept.
    pub(super) due: Option<MonotonicNs>,
}

impl Watched {
    /// Where what was seen there belongs; `None` if that cannot be told, or if there are too many places already.
    pub(super) fn place(&mut self, ip: IpAddr, seen: Where, now: MonotonicNs) -> Option<&mut Place> {
        let scope = seen.scope(ip)?;
        // That of the node is always had: namespaces that anybody may make do not take its room.
        if scope.is_known() && self.places.len() >= WITNESSES_MAX && !self.places.contains_key(&scope) {
            self.sweep(now);
            if self.places.len() >= WITNESSES_MAX {
                return None;
            }
        }
        Some(self.places.entry(scope).or_default())
    }

    pub(super) fn sweep(&mut self, now: MonotonicNs) {
        self.places.retain(|_, place| {
            place.address.sweep(now);
            place.ports.retain(|_, port| {
                port.sweep(now);
                !port.is_empty()
            });
            !place.is_empty()
        });
    }

    /// Drops the place of what was seen of a peer there if it left nothing to remember: without evidence nothing in it ever expires.
    pub(super) fn drop_if_empty(&mut self, peer: SocketAddr, seen: Where) {
        let Some(scope) = seen.scope(peer.ip()) else {
            return;
        };
        let Some(place) = self.places.get_mut(&scope) else {
            return;
        };
        let port = peer.port();
        if place.ports.get(&port).is_some_and(|port| port.is_empty()) {
            place.ports.remove(&port);
        }
        if place.is_empty() {
            self.places.remove(&scope);
        }
    }

    pub(super) fn expires(&self) -> Option<MonotonicNs> {
        self.places.values().filter_map(|place| place.expires()).min()
    }

    pub(super) fn len(&self) -> usize {
        let of_place =
            |place: &Place| place.address.len() + place.ports.values().map(|port| 1 + port.len()).sum::<usize>();
        self.ports.len() + self.places.values().map(|place| 1 + of_place(place)).sum::<usize>()
    }
}

/// What is known of an address in one scope.
#[derive(Debug, Default)]
pub(super) struct Place {
    pub(super) address: Address,
    /// Mostly one; see [`Watched::places`].
    pub(super) ports: BTreeMap<u16, Box<Port>>,
}

impl Place {
    pub(super) fn standing(&self, port: u16, netns: Option<NetnsCookie>, now: MonotonicNs) -> Standing {
        let port = self.ports.get(&port).map(|port| port.standing(netns, now));
        self.address.standing(netns, now).or_graver(port)
    }

    fn is_empty(&self) -> bool {
        self.address.is_empty() && self.ports.is_empty()
    }

    fn expires(&self) -> Option<MonotonicNs> {
        let ports = self.ports.values().filter_map(|port| port.expires());
        ports.chain(self.address.expires()).min()
    }
}
