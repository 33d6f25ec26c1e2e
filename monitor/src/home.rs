//! The homes of addresses, between the kernel's sightings and the ledger: which network namespace of this node each watched
//! address belongs to. A listener on the unspecified address is one on every address of its namespace, and when the last
//! one of a port is gone, all of them are deaf on it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};

use crate::sighting::{NetnsCookie, Observation, Sighting};

/// How many addresses are remembered; the one learnt longest ago gives way. As many as the kernel half remembers.
pub const ADDRESSES_MAX: usize = 65_536;

/// Which namespace has which addresses. Pure.
#[derive(Debug)]
pub struct Homes {
    of_address: HashMap<IpAddr, Home>,
    of_netns: HashMap<NetnsCookie, BTreeSet<IpAddr>>,
    /// The addresses in the order in which they were learnt.
    learnt: BTreeMap<u64, IpAddr>,
    next: u64,
    capacity: usize,
}

#[derive(Debug, Clone, Copy)]
struct Home {
    netns: NetnsCookie,
    learnt: u64,
}

impl Default for Homes {
    fn default() -> Self {
        Self::with_capacity(ADDRESSES_MAX)
    }
}

impl Homes {
    /// Room for `capacity` addresses.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        Self {
            of_address: HashMap::new(),
            of_netns: HashMap::new(),
            learnt: BTreeMap::new(),
            next: 0,
            capacity,
        }
    }

    /// Learns from the sightings, and puts the addresses of its namespace in the place of each that is about a listener
    /// without one. Of a namespace no address of which is known, nothing is left.
    pub fn expand(&mut self, sightings: &mut Vec<Sighting>) {
        let about_homes = |sighting: &Sighting| {
            matches!(
                sighting.what,
                Observation::Home | Observation::ListenerClosed | Observation::ListenerOpened
            )
        };
        let Some(first) = sightings.iter().position(about_homes) else {
            return;
        };
        for sighting in sightings.split_off(first) {
            match sighting.what {
                Observation::Home => self.learn(sighting.peer.ip(), sighting.netns),
                Observation::ListenerClosed | Observation::ListenerOpened => sightings.extend(self.each(sighting)),
                _ => sightings.push(sighting),
            }
        }
    }

    /// How many addresses are known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.of_address.len()
    }

    /// Whether none is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.of_address.is_empty()
    }

    fn learn(&mut self, ip: IpAddr, netns: NetnsCookie) {
        self.forget(ip);
        if self.of_address.len() >= self.capacity
            && let Some(oldest) = self.learnt.first_entry().map(|entry| *entry.get())
        {
            self.forget(oldest);
        }
        let learnt = self.next;
        self.next += 1;
        self.of_address.insert(ip, Home { netns, learnt });
        self.of_netns.entry(netns).or_default().insert(ip);
        self.learnt.insert(learnt, ip);
    }

    fn forget(&mut self, ip: IpAddr) {
        let Some(home) = self.of_address.remove(&ip) else {
            return;
        };
        self.learnt.remove(&home.learnt);
        if let Some(addresses) = self.of_netns.get_mut(&home.netns) {
            addresses.remove(&ip);
            if addresses.is_empty() {
                self.of_netns.remove(&home.netns);
            }
        }
    }

    /// One sighting for each address it is about.
    fn each(&self, sighting: Sighting) -> impl Iterator<Item = Sighting> {
        let own = sighting.peer.ip();
        let is_about = move |ip: &IpAddr| match sighting.what {
            // The last one on the port, wherever it listened.
            Observation::ListenerClosed => true,
            // `::` takes IPv4 connections too.
            _ => own.is_unspecified() && (own.is_ipv6() || ip.is_ipv4()),
        };
        let known = self.of_netns.get(&sighting.netns).into_iter().flatten();
        let others = known.copied().filter(move |ip| *ip != own && is_about(ip));
        let own = Some(own).filter(|own| !own.is_unspecified());
        own.into_iter().chain(others).map(move |ip| Sighting {
            peer: SocketAddr::new(ip, sighting.peer.port()),
            ..sighting
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sighting::{MonotonicNs, SocketCookie};

    const POD: NetnsCookie = NetnsCookie(1);
    const OTHER: NetnsCookie = NetnsCookie(2);

    fn seen(netns: NetnsCookie, peer: &str, what: Observation) -> Sighting {
        Sighting {
            in_user_ns: false,
            at: MonotonicNs(1),
            netns,
            socket: SocketCookie(1),
            peer: peer.parse().unwrap(),
            what,
        }
    }

    fn expanded(homes: &mut Homes, sightings: &[Sighting]) -> Vec<(String, Observation)> {
        let mut sightings = sightings.to_vec();
        homes.expand(&mut sightings);
        let said = |sighting: Sighting| (sighting.peer.to_string(), sighting.what);
        sightings.into_iter().map(said).collect()
    }

    fn pod() -> Homes {
        let mut homes = Homes::default();
        let addresses = [
            seen(POD, "198.18.0.2:0", Observation::Home),
            seen(POD, "[2001:db8::2]:0", Observation::Home),
            seen(OTHER, "198.18.0.3:0", Observation::Home),
        ];
        assert_eq!(expanded(&mut homes, &addresses), []);
        homes
    }

    #[test]
    fn a_port_nobody_listens_on_any_more_is_deaf_on_every_address_of_its_namespace() {
        for (listener, own) in [
            ("0.0.0.0:80", None),
            ("[::]:80", None),
            ("127.0.0.1:80", Some("127.0.0.1:80")),
        ] {
            let closed = expanded(&mut pod(), &[seen(POD, listener, Observation::ListenerClosed)]);
            let about: Vec<_> = closed.iter().map(|(peer, _)| peer.as_str()).collect();
            let all = own.into_iter().chain(["198.18.0.2:80", "[2001:db8::2]:80"]);
            assert_eq!(about, all.collect::<Vec<_>>(), "{listener}");
        }
    }

    #[test]
    fn a_listener_that_begins_is_heard_where_it_listens() {
        let opened = |listener| {
            let opened = expanded(&mut pod(), &[seen(POD, listener, Observation::ListenerOpened)]);
            opened.into_iter().map(|(peer, _)| peer).collect::<Vec<_>>()
        };
        assert_eq!(opened("0.0.0.0:80"), ["198.18.0.2:80"]);
        assert_eq!(opened("[::]:80"), ["198.18.0.2:80", "[2001:db8::2]:80"]);
        assert_eq!(opened("198.18.0.2:80"), ["198.18.0.2:80"]);
    }

    #[test]
    fn an_address_that_moved_belongs_to_its_new_namespace_and_the_rest_keeps_its_order() {
        let mut homes = pod();
        let sightings = [
            seen(OTHER, "198.18.0.9:80", Observation::Refused),
            seen(OTHER, "198.18.0.2:0", Observation::Home),
            seen(POD, "0.0.0.0:80", Observation::ListenerClosed),
            seen(OTHER, "0.0.0.0:80", Observation::ListenerClosed),
            seen(OTHER, "198.18.0.9:80", Observation::Reset),
        ];
        let peers = expanded(&mut homes, &sightings);
        let expected = [
            ("198.18.0.9:80", Observation::Refused),
            ("[2001:db8::2]:80", Observation::ListenerClosed),
            ("198.18.0.2:80", Observation::ListenerClosed),
            ("198.18.0.3:80", Observation::ListenerClosed),
            ("198.18.0.9:80", Observation::Reset),
        ];
        assert_eq!(peers, expected.map(|(peer, what)| (peer.to_owned(), what)));
    }

    #[test]
    fn of_more_addresses_than_fit_the_one_learnt_longest_ago_is_forgotten() {
        let mut homes = Homes::with_capacity(2);
        for peer in ["198.18.0.1:0", "198.18.0.2:0", "198.18.0.1:0", "198.18.0.3:0"] {
            expanded(&mut homes, &[seen(POD, peer, Observation::Home)]);
        }
        assert_eq!(homes.len(), 2);
        let closed = expanded(&mut homes, &[seen(POD, "0.0.0.0:80", Observation::ListenerClosed)]);
        let about: Vec<_> = closed.iter().map(|(peer, _)| peer.as_str()).collect();
        assert_eq!(about, ["198.18.0.1:80", "198.18.0.3:80"]);
    }
}
