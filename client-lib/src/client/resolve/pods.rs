//! From what a cluster says of a service's pods to endpoints. Pure.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::family::Family;
use super::{Endpoint, IpFamily};
use crate::service::ServiceEndpoint as Pod;

/// The endpoints among `pods`, by kube-proxy's rule: those that are ready; where there is none, those that terminate and
/// serve yet, so that calls in the last moments of a deployment find somebody. It holds for each address family by itself.
///
/// An address named several times is one endpoint, ready if it is said to be anywhere: a pod that moves from one slice to
/// another is in both for a while.
pub(crate) fn endpoints(pods: &[Pod], family: IpFamily) -> Vec<Endpoint> {
    let mut by_address = BTreeMap::<SocketAddr, Pod>::new();
    for pod in pods {
        let address = obit_protocol::normalise(pod.address);
        let known = by_address
            .entry(address)
            .or_insert_with(|| Pod { address, ..pod.clone() });
        known.ready |= pod.ready;
        known.serving |= pod.serving;
        known.terminating &= pod.terminating;
        if known.zone.is_none() {
            known.zone.clone_from(&pod.zone);
        }
        if known.for_zones.is_empty() {
            known.for_zones.clone_from(&pod.for_zones);
        }
    }
    family.choose(|family| {
        let pods: Vec<_> = by_address
            .values()
            .filter(|pod| pod.address.is_ipv4() == (family == Family::V4))
            .collect();
        let of = |keep: fn(&Pod) -> bool| pods.iter().filter(|pod| keep(pod)).map(|pod| endpoint(pod)).collect();
        let ready: Vec<_> = of(|pod| pod.ready);
        if ready.is_empty() {
            of(|pod| pod.serving && pod.terminating)
        } else {
            ready
        }
    })
}

fn endpoint(pod: &Pod) -> Endpoint {
    let endpoint = Endpoint::new(pod.address).with_zone_hints(pod.for_zones.iter().cloned());
    match &pod.zone {
        Some(zone) => endpoint.with_zone(zone.clone()),
        None => endpoint,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pod(address: &str, conditions: &str) -> Pod {
        Pod {
            address: address.parse().unwrap(),
            zone: None,
            for_zones: Vec::new(),
            ready: conditions.contains('r'),
            serving: conditions.contains('s'),
            terminating: conditions.contains('t'),
        }
    }

    fn chosen(pods: &[Pod]) -> Vec<String> {
        let endpoints = endpoints(pods, IpFamily::default());
        endpoints
            .iter()
            .map(|endpoint| endpoint.address().to_string())
            .collect()
    }

    #[test]
    fn the_ready_serve_and_where_there_is_none_those_who_serve_to_the_end() {
        let ready = pod("10.0.0.1:80", "rs");
        let leaving = pod("10.0.0.2:80", "st");
        let left = pod("10.0.0.3:80", "t");
        let starting = pod("10.0.0.4:80", "");
        assert_eq!(
            chosen(&[leaving.clone(), ready, left.clone(), starting.clone()]),
            ["10.0.0.1:80"]
        );
        assert_eq!(chosen(&[leaving, left.clone(), starting.clone()]), ["10.0.0.2:80"]);
        assert!(chosen(&[left, starting]).is_empty());
    }

    #[test]
    fn an_address_in_two_slices_is_one_endpoint_and_ready_if_either_says_so() {
        assert_eq!(
            chosen(&[
                pod("10.0.0.1:80", "st"),
                pod("10.0.0.1:80", "rs"),
                pod("[::ffff:10.0.0.1]:80", "rs")
            ]),
            ["10.0.0.1:80"]
        );
        assert_eq!(chosen(&[pod("10.0.0.1:80", "rs"), pod("10.0.0.1:81", "rs")]).len(), 2);
    }

    #[test]
    fn a_pod_with_two_addresses_is_one_endpoint() {
        let pods = [pod("10.0.0.1:80", "rs"), pod("[2001:db8::1]:80", "rs")];
        assert_eq!(chosen(&pods), ["10.0.0.1:80"]);
        assert_eq!(chosen(&pods[1..]), ["[2001:db8::1]:80"]);
    }

    fn any_pod() -> impl Strategy<Value = Pod> {
        let zone = prop::option::of(prop::sample::select(vec!["a", "b"]));
        (0u8..6, any::<bool>(), any::<[bool; 3]>(), zone).prop_map(|(host, v6, [ready, serving, terminating], zone)| {
            Pod {
                address: if v6 {
                    SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, host.into()], 80))
                } else {
                    SocketAddr::from(([10, 0, 0, host], 80))
                },
                zone: zone.map(Into::into),
                for_zones: Vec::new(),
                ready,
                serving,
                terminating,
            }
        })
    }

    proptest! {
        #[test]
        fn the_order_in_which_pods_are_named_does_not_matter(pods in prop::collection::vec(any_pod(), 0..12)) {
            let strip = |pods: &[Pod]| -> Vec<_> {
                endpoints(pods, IpFamily::PreferV4).iter().map(Endpoint::address).collect()
            };
            let backwards: Vec<_> = pods.iter().rev().cloned().collect();
            prop_assert_eq!(strip(&pods), strip(&backwards));
        }

        #[test]
        fn whoever_is_ready_is_an_endpoint_once_and_nobody_else_is_beside_the_ready(
            pods in prop::collection::vec(any_pod(), 0..12),
        ) {
            let found: Vec<_> = endpoints(&pods, IpFamily::V4Only).iter().map(Endpoint::address).collect();
            let mut ready: Vec<_> = pods.iter().filter(|pod| pod.ready && pod.address.is_ipv4()).map(|pod| pod.address).collect();
            ready.sort_unstable();
            ready.dedup();
            if ready.is_empty() {
                let leaving = |address| pods.iter().any(|pod| pod.address == address && pod.serving);
                prop_assert!(found.into_iter().all(leaving));
            } else {
                prop_assert_eq!(found, ready);
            }
        }
    }
}
