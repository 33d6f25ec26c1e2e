//! A hash ring: each endpoint at many points of a circle, a key belongs to the next point. Pure.

use std::net::{IpAddr, SocketAddr};

use twox_hash::XxHash64;

use super::Candidate;

/// Points of the heaviest endpoint; the others have theirs in proportion. With 160, as in Ketama, the share of one of many
/// is off its due by about 8 % (one in the square root of 160).
const POINTS: u64 = 160;

/// How many points a key looks at before it gives up. Less than one in 2^64 looks only at one of two endpoints for so long.
const LOOKS: usize = 64;

/// The points in their order on the circle.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Ring {
    points: Vec<Point>,
    /// Where on the circle, cut into `2^bits` arcs of one or two points each, the first point of each arc or a later one
    /// is: spares a bisection its many far looks.
    arcs: Vec<u32>,
    bits: u32,
    /// Whose points there are, by index, and how many of each.
    members: Vec<(SocketAddr, u32)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Point {
    place: u64,
    member: u32,
}

impl Ring {
    /// The ring of these candidates, made of one of earlier ones: what stays is not hashed nor sorted anew, for sets change
    /// by one endpoint at a time.
    pub(crate) fn renewed(&self, candidates: &[Candidate]) -> Self {
        let heaviest = candidates.iter().map(Candidate::weight).max().unwrap_or(1);
        let due = |weight| (POINTS * u64::from(weight)).div_ceil(heaviest.into());
        let members: Vec<(SocketAddr, u32)> = candidates
            .iter()
            .map(|candidate| {
                let points = due(candidate.weight());
                (candidate.address(), u32::try_from(points).unwrap_or(u32::MAX))
            })
            .collect();
        // Both are in the order of addresses.
        let now_at: Vec<Option<u32>> = self
            .members
            .iter()
            .map(|member| members.binary_search(member).ok().and_then(|at| u32::try_from(at).ok()))
            .collect();
        let kept = self.points.iter().filter_map(|point| {
            let member = now_at[point.member as usize]?;
            Some(Point { member, ..*point })
        });
        let mut points: Vec<Point> = kept.collect();
        let kept = points.len();
        for (at, member) in (0..).zip(&members) {
            if self.members.binary_search(member).is_err() {
                let (address, count) = *member;
                points.extend((0..count).map(|number| Point {
                    place: place(address, number),
                    member: at,
                }));
            }
        }
        points[kept..].sort_unstable();
        // Two sorted runs: this sort knows how to merge them.
        points.sort();
        let bits = points.len().max(1).ilog2();
        let mut arcs = Vec::with_capacity(1 << bits);
        for (index, point) in (0..).zip(&points) {
            while arcs.len() <= arc(point.place, bits) {
                arcs.push(index);
            }
        }
        let past_all = u32::try_from(points.len()).unwrap_or(u32::MAX);
        arcs.resize(1 << bits, past_all);
        Self {
            points,
            arcs,
            bits,
            members,
        }
    }

    /// The indices of the candidates from `place` on, in the order in which a key there would have them: not without
    /// repetition, and not necessarily all.
    pub(crate) fn from(&self, place: u64) -> impl Iterator<Item = usize> {
        let begin = self.arcs.get(arc(place, self.bits)).map_or(0, |begin| *begin as usize);
        let (skipped, rest) = self.points.split_at(begin);
        let first = rest.iter().take_while(|point| point.place < place).count();
        let (before, after) = self.points.split_at(skipped.len() + first);
        after
            .iter()
            .chain(before)
            .take(LOOKS)
            .map(|point| point.member as usize)
    }
}

/// The number of the arc, of `2^bits`, that a place lies on.
fn arc(place: u64, bits: u32) -> usize {
    usize::try_from(place.checked_shr(u64::BITS - bits).unwrap_or(0)).unwrap_or(0)
}

/// Where a key lies on the circle. Fixed for ever: all clients of a service must agree, of whatever version they are.
pub(crate) fn place_of(key: &[u8]) -> u64 {
    XxHash64::oneshot(0, key)
}

fn place(address: SocketAddr, number: u32) -> u64 {
    let mut bytes = [0; 18];
    let length = match address.ip() {
        IpAddr::V4(ip) => {
            bytes[..4].copy_from_slice(&ip.octets());
            4
        }
        IpAddr::V6(ip) => {
            bytes[..16].copy_from_slice(&ip.octets());
            16
        }
    };
    bytes[length..length + 2].copy_from_slice(&address.port().to_be_bytes());
    XxHash64::oneshot(u64::from(number) + 1, &bytes[..length + 2])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::fixture::{assert_shares, weighing};
    use super::*;

    fn owner(ring: &Ring, key: u32) -> usize {
        ring.from(place_of(&key.to_be_bytes())).next().unwrap()
    }

    proptest! {
        #[test]
        fn a_ring_renewed_is_the_ring_made_new(before in prop::collection::vec(0_u32..5, 0..20), after in prop::collection::vec(0_u32..5, 1..20)) {
            let present = |weights: &[u32]| -> Vec<_> {
                weighing(weights).iter().zip(weights).filter(|(_, weight)| **weight > 0).map(|(one, _)| one.clone()).collect()
            };
            let (before, after) = (present(&before), present(&after));
            prop_assert_eq!(Ring::default().renewed(&before).renewed(&after), Ring::default().renewed(&after));
        }

        #[test]
        fn who_leaves_moves_only_its_own_keys(endpoints in 2_usize..30, gone: prop::sample::Index) {
            let gone = gone.index(endpoints);
            let all = weighing(&vec![1; endpoints]);
            let rest: Vec<_> = all.iter().enumerate().filter(|(index, _)| *index != gone).map(|(_, one)| one.clone()).collect();
            let (before, after) = (Ring::default().renewed(&all), Ring::default().renewed(&rest));
            for key in 0..500 {
                let owner_before = owner(&before, key);
                if owner_before != gone {
                    prop_assert_eq!(all[owner_before].address(), rest[owner(&after, key)].address());
                } else {
                    // And those go where they would have gone next.
                    let heir = before.from(place_of(&key.to_be_bytes())).find(|index| *index != gone).unwrap();
                    prop_assert_eq!(all[heir].address(), rest[owner(&after, key)].address());
                }
            }
        }
    }

    #[test]
    fn a_key_belongs_to_the_next_point_round_the_circle() {
        let ring = Ring::default().renewed(&weighing(&[1, 2, 3]));
        let places = ring.points.iter().map(|point| point.place);
        for place in places
            .flat_map(|place| [place - 1, place, place + 1])
            .chain([0, u64::MAX])
        {
            let next = ring.points.iter().find(|point| point.place >= place);
            let expected = next.unwrap_or(&ring.points[0]).member as usize;
            assert_eq!(ring.from(place).next(), Some(expected), "{place}");
        }
    }

    #[test]
    fn keys_are_shared_out_by_weight() {
        for weights in [vec![1; 10], vec![1; 200], vec![1, 2, 3, 4]] {
            let ring = Ring::default().renewed(&weighing(&weights));
            let mut shares = vec![0; weights.len()];
            for key in 0..200_000 {
                shares[owner(&ring, key)] += 1;
            }
            assert_shares(&shares, &weights, 35.0);
        }
    }

    #[test]
    fn places_are_those_of_every_other_version() {
        assert_eq!(place_of(b"user-42"), 0x397e_9d3a_76af_7c81);
        assert_eq!(place("10.0.0.1:8080".parse().unwrap(), 0), 0xc4b2_4701_e42f_421e);
        assert_eq!(place("[2001:db8::1]:8080".parse().unwrap(), 7), 0x269c_2587_6ada_93f0);
    }
}
