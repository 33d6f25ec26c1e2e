//! From SRV records to endpoints (RFC 2782). Pure.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use hickory_resolver::proto::rr::Name;
use hickory_resolver::proto::rr::rdata::SRV;

use crate::client::resolve::Endpoint;

/// The largest factor by which weights are multiplied to be divided evenly: with it none exceeds 32 bits.
const MAX_FACTOR: u32 = 1 << 16;

/// The records by priority, the group to use first. A target "." says that the service is decidedly not available here: such
/// records are in no group.
pub(super) fn groups(records: impl IntoIterator<Item = SRV>) -> Vec<Vec<SRV>> {
    let mut groups = BTreeMap::<u16, Vec<SRV>>::new();
    for record in records {
        if !record.target.is_root() && record.port != 0 {
            groups.entry(record.priority).or_default().push(record);
        }
    }
    groups.into_values().collect()
}

/// The endpoints of one group, whose targets have these addresses.
///
/// A target's weight is divided among its addresses, so that a target has the share its record says, however many there are.
/// Where every weight is 0 nothing is said about shares (CoreDNS says so of a service with more than a hundred pods), and all
/// are alike; otherwise weight 0 means what it means for an [`Endpoint`].
pub(super) fn endpoints(group: &[SRV], addresses: impl Fn(&Name) -> Vec<IpAddr>) -> Vec<Endpoint> {
    let targets: Vec<_> = group.iter().map(|record| (record, addresses(&record.target))).collect();
    let unweighted = group.iter().all(|record| record.weight == 0);
    let counts = targets
        .iter()
        .map(|(_, addresses)| count(addresses))
        .filter(|count| *count > 0);
    let factor = counts.fold(1, least_common_multiple).min(MAX_FACTOR);
    let endpoint = |record: &SRV, ip: IpAddr, of: u32| {
        let weight = match record.weight {
            0 if unweighted => factor / of,
            0 => return Endpoint::new(SocketAddr::new(ip, record.port)).with_weight(0),
            weight => u32::from(weight).saturating_mul(factor) / of,
        };
        Endpoint::new(SocketAddr::new(ip, record.port)).with_weight(weight.max(1))
    };
    targets
        .into_iter()
        .flat_map(|(record, addresses)| {
            let of = count(&addresses);
            addresses.into_iter().map(move |ip| endpoint(record, ip, of))
        })
        .collect()
}

fn count(addresses: &[IpAddr]) -> u32 {
    u32::try_from(addresses.len()).unwrap_or(u32::MAX)
}

/// Neither is 0. Saturates.
fn least_common_multiple(a: u32, b: u32) -> u32 {
    let (mut divisor, mut rest) = (a, b);
    while rest != 0 {
        (divisor, rest) = (rest, divisor % rest);
    }
    (a / divisor).saturating_mul(b)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record(priority: u16, weight: u16, target: &str) -> SRV {
        SRV::new(priority, weight, 50051, Name::from_str_relaxed(target).unwrap())
    }

    /// As many addresses as the first label of the target says.
    fn addresses(target: &Name) -> Vec<IpAddr> {
        let label = String::from_utf8(target.iter().next().unwrap().to_vec()).unwrap();
        let count: u8 = label[1..].parse().unwrap();
        (1..=count)
            .map(|host| IpAddr::from([10, 0, label.as_bytes()[0], host]))
            .collect()
    }

    fn weights(group: &[SRV]) -> Vec<u32> {
        endpoints(group, addresses).iter().map(Endpoint::weight).collect()
    }

    #[test]
    fn the_lowest_priority_comes_first_and_no_target_is_in_no_group() {
        let groups = groups([
            record(20, 1, "a1.test."),
            record(10, 1, "b1.test."),
            record(10, 1, "c1.test."),
            record(0, 1, "."),
        ]);
        let priorities: Vec<Vec<_>> = groups
            .iter()
            .map(|group| group.iter().map(|record| record.priority).collect())
            .collect();
        assert_eq!(priorities, [vec![10, 10], vec![20]]);
        assert!(super::groups([record(0, 0, ".")]).is_empty());
    }

    #[test]
    fn weights_are_kept_in_proportion_and_a_target_of_many_addresses_divides_its_own() {
        assert_eq!(
            weights(&[record(0, 10, "a1.test."), record(0, 30, "b1.test.")]),
            [10, 30]
        );
        assert_eq!(
            weights(&[record(0, 10, "a2.test."), record(0, 30, "b1.test.")]),
            [10, 10, 60]
        );
    }

    #[test]
    fn weight_zero_is_standing_by_unless_it_is_everybodys() {
        assert_eq!(weights(&[record(0, 0, "a1.test."), record(0, 5, "b1.test.")]), [0, 5]);
        assert_eq!(weights(&[record(0, 0, "a1.test."), record(0, 0, "b1.test.")]), [1, 1]);
        assert_eq!(
            weights(&[record(0, 0, "a2.test."), record(0, 0, "b1.test.")]),
            [1, 1, 2]
        );
    }

    proptest! {
        #[test]
        fn every_address_of_a_target_with_weight_has_some_and_shares_are_as_the_records_say(
            records in prop::collection::vec((1u16.., 1u8..6), 1..8),
        ) {
            let group: Vec<_> = records
                .iter()
                .enumerate()
                .map(|(n, (weight, count))| record(0, *weight, &format!("{}{count}.test.", char::from(b'a' + u8::try_from(n).unwrap()))))
                .collect();
            let endpoints = endpoints(&group, addresses);
            prop_assert!(endpoints.iter().all(|endpoint| endpoint.weight() > 0));
            // Up to five addresses: 60 divides evenly by all counts.
            let mut rest = endpoints.as_slice();
            let mut factors = Vec::new();
            for (weight, count) in &records {
                let (target, others) = rest.split_at(usize::from(*count));
                let sum: u64 = target.iter().map(|endpoint| u64::from(endpoint.weight())).sum();
                prop_assert_eq!(sum % u64::from(*weight), 0);
                factors.push(sum / u64::from(*weight));
                rest = others;
            }
            prop_assert!(factors.windows(2).all(|pair| pair[0] == pair[1]));
        }
    }
}
