//! Which endpoints of a large service one client connects to. Pure.

use std::collections::HashSet;
use std::net::SocketAddr;

use twox_hash::XxHash64;

/// Some of a large service's endpoints in place of all of them: fewer connections, for clients and servers alike.
///
/// A client that knows neither how many clients there are nor which of them it is draws its own subset
/// ([`of`](Self::of)): the number of clients an endpoint gets then varies as draws do, by about its square root. Clients
/// that are numbered, as the pods of a StatefulSet are, get subsets that cover the endpoints evenly
/// ([`numbered`](Self::numbered)). Either way an endpoint that comes or goes changes at most one place of a drawn
/// subset, and few of a numbered one.
///
/// While endpoints of the subset are out, as many others stand in for them, at most as many as the subset has; one that
/// is no longer needed stays for half a minute more.
///
/// ```
/// use obit::Subset;
///
/// # let builder = obit::Client::builder("http://shop.default.svc");
/// let builder = builder.subset(Subset::of(20).drawn_by("checkout-7d4b9c-x2x1p"));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subset {
    size: usize,
    place: Place,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Drawn(u64),
    Numbered(usize),
}

impl Subset {
    /// `size` endpoints, at least 1, drawn at random anew for each client.
    #[must_use]
    pub fn of(size: usize) -> Self {
        Self {
            size: size.max(1),
            place: Place::Drawn(fastrand::u64(..)),
        }
    }

    /// Draws by a name of this client, such as its pod's: the same name draws the same endpoints, also after a restart.
    #[must_use]
    pub fn drawn_by(self, name: impl AsRef<[u8]>) -> Self {
        Self {
            place: Place::Drawn(XxHash64::oneshot(0, name.as_ref())),
            ..self
        }
    }

    /// `size` endpoints for the client with this number, of clients numbered from 0 without gaps.
    ///
    /// Each round of clients, as many as it takes to cover all endpoints once, shares them out among itself; rounds do it
    /// each in an order of their own, so that the clients of a lost endpoint do not all lose the same others.
    #[must_use]
    pub fn numbered(size: usize, client: usize) -> Self {
        Self {
            size: size.max(1),
            place: Place::Numbered(client),
        }
    }

    /// The endpoints to connect to, of all `addresses`: the subset's own, and a stand-in for each of it that is `out`.
    pub(super) fn chosen(&self, addresses: &[SocketAddr], out: &HashSet<SocketAddr>) -> HashSet<SocketAddr> {
        let ranked = self.ranked(addresses);
        let (own, others) = ranked.split_at(self.size.min(ranked.len()));
        let missing = own.iter().filter(|address| out.contains(address)).count();
        // Those that are out themselves keep their place: whoever comes back first is needed no more than before.
        let mut standing = 0;
        let needed = others.iter().take(self.size).take_while(|address| {
            let wanted = standing < missing;
            standing += usize::from(!out.contains(address));
            wanted
        });
        own.iter().chain(needed).copied().collect()
    }

    /// In the order in which this client prefers them.
    fn ranked(&self, addresses: &[SocketAddr]) -> Vec<SocketAddr> {
        let (seed, start) = match self.place {
            Place::Drawn(seed) => (seed, 0),
            Place::Numbered(client) => {
                let clients = addresses.len().div_ceil(self.size).max(1);
                ((client / clients) as u64, client % clients * self.size)
            }
        };
        let mut ranked: Vec<_> = addresses
            .iter()
            .map(|address| (score(seed, *address), *address))
            .collect();
        ranked.sort_unstable();
        if !ranked.is_empty() {
            let start = start % ranked.len();
            ranked.rotate_left(start);
        }
        ranked.into_iter().map(|(_, address)| address).collect()
    }
}

/// The same in every process that is built with this crate.
fn score(seed: u64, address: SocketAddr) -> u64 {
    let ip = match address {
        SocketAddr::V4(address) => address.ip().to_ipv6_mapped(),
        SocketAddr::V6(address) => *address.ip(),
    };
    let mut bytes = [0; 18];
    bytes[..16].copy_from_slice(&ip.octets());
    bytes[16..].copy_from_slice(&address.port().to_be_bytes());
    XxHash64::oneshot(seed, &bytes)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::*;

    fn endpoints(count: u32) -> Vec<SocketAddr> {
        let address = |number: u32| SocketAddr::from((Ipv4Addr::from(0x0a00_0000 + number), 80));
        (0..count).map(address).collect()
    }

    fn nobody() -> HashSet<SocketAddr> {
        HashSet::new()
    }

    #[test]
    fn a_name_draws_the_same_endpoints_in_whatever_order_they_are_named() {
        let subset = Subset::of(5).drawn_by("checkout-0");
        let mut all = endpoints(100);
        let first = subset.chosen(&all, &nobody());
        all.reverse();
        assert_eq!(first.len(), 5);
        assert_eq!(subset.chosen(&all, &nobody()), first);
        assert_ne!(Subset::of(5).drawn_by("checkout-1").chosen(&all, &nobody()), first);
    }

    #[test]
    fn drawn_subsets_load_endpoints_as_evenly_as_draws_can() {
        let (all, clients, size) = (endpoints(100), 1_000_u32, 10);
        let mut load: HashMap<_, u32> = HashMap::new();
        for client in 0..clients {
            for chosen in Subset::of(size).drawn_by(client.to_string()).chosen(&all, &nobody()) {
                *load.entry(chosen).or_default() += 1;
            }
        }
        // Each is drawn by 100 of 1 000 with standard deviation √90 = 9.5: five of these.
        assert!(
            all.iter().all(|address| (52..=148).contains(&load[address])),
            "{load:?}"
        );
    }

    #[test]
    fn numbered_clients_cover_the_endpoints_evenly() {
        let all = endpoints(100);
        for (size, clients) in [(10, 10), (10, 100), (20, 5), (1, 100)] {
            let mut load: HashMap<_, usize> = HashMap::new();
            for client in 0..clients {
                for chosen in Subset::numbered(size, client).chosen(&all, &nobody()) {
                    *load.entry(chosen).or_default() += 1;
                }
            }
            assert!(
                all.iter().all(|address| load[address] == size * clients / all.len()),
                "{clients} clients of {size}"
            );
        }
    }

    #[test]
    fn rounds_of_numbered_clients_combine_the_endpoints_in_different_ways() {
        let all = endpoints(100);
        let of = |client| Subset::numbered(10, client).chosen(&all, &nobody());
        let rounds = [of(0), of(10), of(20), of(30)];
        let distinct: HashSet<Vec<_>> = rounds
            .iter()
            .map(|chosen| {
                let mut chosen: Vec<_> = chosen.iter().copied().collect();
                chosen.sort_unstable();
                chosen
            })
            .collect();
        assert_eq!(distinct.len(), rounds.len());
    }

    #[test]
    fn whoever_is_out_is_stood_in_for_and_stands_ins_that_are_out_themselves_too() {
        let (all, subset) = (endpoints(50), Subset::of(4).drawn_by("a"));
        let own = subset.chosen(&all, &nobody());
        let mut out: HashSet<_> = own.iter().take(1).copied().collect();
        let with_one = subset.chosen(&all, &out);
        assert!(own.is_subset(&with_one));
        assert_eq!(with_one.len(), 5);
        out.extend(with_one.difference(&own));
        assert_eq!(subset.chosen(&all, &out).len(), 6);
        out.extend(&own);
        // Not without end: a service that is down altogether is not dialled through.
        assert_eq!(subset.chosen(&all, &all.iter().copied().collect()).len(), 8);
    }

    proptest! {
        #[test]
        fn as_many_are_chosen_as_there_are_or_were_asked_for(
            count in 0_u32..60, size in 0_usize..80, client in 0_usize..1_000, numbered: bool
        ) {
            let subset = if numbered { Subset::numbered(size, client) } else { Subset::of(size).drawn_by(client.to_string()) };
            let all = endpoints(count);
            let chosen = subset.chosen(&all, &nobody());
            prop_assert_eq!(chosen.len(), size.max(1).min(all.len()));
            prop_assert!(chosen.iter().all(|address| all.contains(address)));
        }

        #[test]
        fn one_that_goes_takes_at_most_its_own_place_with_it(count in 2_u32..60, size in 1_usize..20, gone in 0_usize..60, seed: u64) {
            let subset = Subset::of(size).drawn_by(seed.to_be_bytes());
            let mut all = endpoints(count);
            let before = subset.chosen(&all, &nobody());
            let gone = all.swap_remove(gone % all.len());
            let after = subset.chosen(&all, &nobody());
            prop_assert!(before.iter().filter(|address| **address != gone).all(|address| after.contains(address)));
        }
    }
}
