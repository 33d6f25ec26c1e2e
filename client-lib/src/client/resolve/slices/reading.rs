//! From a service's EndpointSlices to its pods. Pure.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use k8s_openapi::api::discovery::v1::{Endpoint, EndpointPort, EndpointSlice};

use crate::service::{Port, ServiceEndpoint as Pod};

/// The label by which a slice says whose it is.
pub(super) const SERVICE_LABEL: &str = "kubernetes.io/service-name";

/// What slices say.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Reading {
    pub(super) pods: Vec<Pod>,
    /// How many of the slices are the service's.
    pub(super) slices: usize,
    /// The TCP ports they declare, as `name=number`.
    pub(super) ports: BTreeSet<String>,
    /// Whether one of these is the one asked for.
    pub(super) port_found: bool,
    /// What could not be read.
    pub(super) garbage: Vec<String>,
}

/// What `slices` say of `port` of the service. Slices of others are left out, whatever was asked for.
///
/// A slice that declares no ports is one of pods that serve on every port, and so is a port without a number.
pub(super) fn read<'a>(
    slices: impl IntoIterator<Item = &'a EndpointSlice>,
    namespace: &str,
    service: &str,
    port: &Port,
) -> Reading {
    let mut reading = Reading::default();
    for slice in slices {
        let labels = slice.metadata.labels.as_ref();
        let whose = labels.and_then(|labels| labels.get(SERVICE_LABEL));
        if whose.is_none_or(|whose| whose != service) || slice.metadata.namespace.as_deref() != Some(namespace) {
            continue;
        }
        reading.slices += 1;
        let declared: Vec<_> = slice.ports.iter().flatten().filter(|port| is_tcp(port)).collect();
        reading.ports.extend(declared.iter().map(|port| described(port)));
        let any = slice.ports.as_ref().is_none_or(Vec::is_empty);
        let Some(number) = number(port, &declared, any) else {
            continue;
        };
        reading.port_found = true;
        for endpoint in &slice.endpoints {
            match address(&slice.address_type, endpoint) {
                Ok(ip) => reading.pods.push(pod(SocketAddr::new(ip, number), endpoint)),
                Err(what) => {
                    let slice = slice.metadata.name.as_deref().unwrap_or_default();
                    reading.garbage.push(format!("{what} in slice {slice}"));
                }
            }
        }
    }
    reading
}

fn is_tcp(port: &EndpointPort) -> bool {
    port.protocol.as_deref().is_none_or(|protocol| protocol == "TCP")
}

fn described(port: &EndpointPort) -> String {
    let name = port.name.as_deref().unwrap_or_default();
    match port.port {
        Some(number) if name.is_empty() => number.to_string(),
        Some(number) => format!("{name}={number}"),
        None => format!("{name}=any"),
    }
}

/// The number of `port` in a slice that declares these.
fn number(port: &Port, declared: &[&EndpointPort], any: bool) -> Option<u16> {
    match port {
        Port::Number(number) => {
            let is_it = |port: &&EndpointPort| port.port.is_none_or(|it| it == i32::from(*number));
            (any || declared.iter().any(is_it)).then_some(*number)
        }
        Port::Name(name) => declared
            .iter()
            .find(|port| port.name.as_deref().unwrap_or_default() == &**name)
            .and_then(|port| u16::try_from(port.port?).ok())
            .filter(|number| *number != 0),
    }
}

/// The address of an endpoint, or what there is in place of one. Several addresses are one and the same to Kubernetes, and
/// the first is the one to use.
fn address(kind: &str, endpoint: &Endpoint) -> Result<IpAddr, String> {
    let text = endpoint.addresses.first().ok_or("no address")?;
    let parsed = match kind {
        "IPv4" => text.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
        "IPv6" => text.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        kind => return Err(format!("an address of type {kind:?}")),
    };
    parsed
        .filter(|ip| !ip.is_unspecified() && !ip.is_multicast())
        .ok_or_else(|| format!("{text:?}, which is no {kind} address of a pod,"))
}

/// What is not said of a condition means what it means to kube-proxy.
fn pod(address: SocketAddr, endpoint: &Endpoint) -> Pod {
    let conditions = endpoint.conditions.as_ref();
    Pod {
        address,
        zone: endpoint.zone.as_deref().map(Into::into),
        for_zones: for_zones(endpoint),
        ready: conditions.and_then(|it| it.ready).unwrap_or(true),
        serving: conditions.and_then(|it| it.serving).unwrap_or(true),
        terminating: conditions.and_then(|it| it.terminating).unwrap_or(false),
    }
}

fn for_zones(endpoint: &Endpoint) -> Vec<Arc<str>> {
    let hints = endpoint.hints.as_ref().and_then(|hints| hints.for_zones.as_ref());
    hints
        .into_iter()
        .flatten()
        .map(|zone| zone.name.as_str().into())
        .collect()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::discovery::v1::{EndpointConditions, EndpointHints, ForZone};
    use proptest::prelude::*;

    use super::*;

    fn slice(kind: &str, ports: &[(&str, i32)], addresses: &[&str]) -> EndpointSlice {
        let mut slice = EndpointSlice {
            address_type: kind.to_owned(),
            endpoints: addresses.iter().map(|address| endpoint(address)).collect(),
            ports: Some(ports.iter().map(|(name, number)| port(name, *number)).collect()),
            ..EndpointSlice::default()
        };
        slice.metadata.name = Some("demo-abc".to_owned());
        slice.metadata.namespace = Some("shop".to_owned());
        slice.metadata.labels = Some([(SERVICE_LABEL.to_owned(), "demo".to_owned())].into());
        slice
    }

    fn endpoint(address: &str) -> Endpoint {
        Endpoint {
            addresses: vec![address.to_owned()],
            ..Endpoint::default()
        }
    }

    fn port(name: &str, number: i32) -> EndpointPort {
        EndpointPort {
            name: Some(name.to_owned()),
            port: Some(number),
            ..EndpointPort::default()
        }
    }

    fn read_one(slice: &EndpointSlice, port: impl Into<Port>) -> Reading {
        read([slice], "shop", "demo", &port.into())
    }

    fn addresses(reading: &Reading) -> Vec<String> {
        reading.pods.iter().map(|pod| pod.address.to_string()).collect()
    }

    #[test]
    fn a_port_is_found_by_name_or_number_and_each_slice_may_have_another_number() {
        let one = slice("IPv4", &[("grpc", 50051), ("metrics", 9090)], &["10.0.0.1"]);
        let other = slice("IPv4", &[("grpc", 50052)], &["10.0.0.2"]);
        let both = [&one, &other];
        let found = |port: &str| addresses(&read(both, "shop", "demo", &port.into()));
        assert_eq!(found("grpc"), ["10.0.0.1:50051", "10.0.0.2:50052"]);
        assert_eq!(found("50052"), ["10.0.0.2:50052"]);
        assert_eq!(found("metrics"), ["10.0.0.1:9090"]);
        let reading = read(both, "shop", "demo", &"http".into());
        assert!(!reading.port_found);
        assert_eq!(
            Vec::from_iter(reading.ports),
            ["grpc=50051", "grpc=50052", "metrics=9090"]
        );
    }

    #[test]
    fn a_slice_without_ports_serves_on_every_one_and_udp_is_another_matter() {
        let mut slice = slice("IPv4", &[], &["10.0.0.1"]);
        assert_eq!(addresses(&read_one(&slice, 80)), ["10.0.0.1:80"]);
        assert!(!read_one(&slice, "http").port_found);
        slice.ports = None;
        assert_eq!(addresses(&read_one(&slice, 80)), ["10.0.0.1:80"]);
        let mut dns = port("dns", 53);
        dns.protocol = Some("UDP".to_owned());
        slice.ports = Some(vec![dns]);
        assert!(!read_one(&slice, 53).port_found);
    }

    #[test]
    fn what_is_not_said_of_a_condition_is_what_it_is_to_kube_proxy() {
        let conditions = |ready, serving, terminating| {
            let mut slice = slice("IPv4", &[("grpc", 1)], &["10.0.0.1"]);
            slice.endpoints[0].conditions = Some(EndpointConditions {
                ready,
                serving,
                terminating,
            });
            let pod = read_one(&slice, 1).pods.remove(0);
            (pod.ready, pod.serving, pod.terminating)
        };
        assert_eq!(conditions(None, None, None), (true, true, false));
        assert_eq!(conditions(Some(false), None, Some(true)), (false, true, true));
        assert_eq!(conditions(Some(false), Some(false), None), (false, false, false));
        let silent = read_one(&slice("IPv4", &[("grpc", 1)], &["10.0.0.1"]), 1)
            .pods
            .remove(0);
        assert!(silent.ready && silent.serving && !silent.terminating);
    }

    #[test]
    fn the_zone_is_where_the_pod_runs_and_whom_it_is_meant_for_another_matter() {
        let mut slice = slice("IPv4", &[("grpc", 1)], &["10.0.0.1"]);
        slice.endpoints[0].zone = Some("a".to_owned());
        slice.endpoints[0].hints = Some(EndpointHints {
            for_zones: Some(vec![ForZone { name: "b".to_owned() }]),
            ..EndpointHints::default()
        });
        let pod = &read_one(&slice, 1).pods[0];
        assert_eq!(pod.zone.as_deref(), Some("a"));
        assert_eq!(pod.for_zones, ["b".into()]);
    }

    #[test]
    fn what_is_no_address_is_named_and_the_others_stay() {
        let mut wrong = slice(
            "IPv4",
            &[("grpc", 1)],
            &["10.0.0.1", "pod-2", "2001:db8::1", "0.0.0.0", "224.0.0.1"],
        );
        wrong.endpoints.push(Endpoint::default());
        let reading = read_one(&wrong, 1);
        assert_eq!(addresses(&reading), ["10.0.0.1:1"]);
        assert_eq!(reading.garbage.len(), 5);
        assert_eq!(
            reading.garbage[0],
            "\"pod-2\", which is no IPv4 address of a pod, in slice demo-abc"
        );
        let names = read_one(&slice("FQDN", &[("grpc", 1)], &["pod.test"]), 1);
        assert_eq!(names.garbage, ["an address of type \"FQDN\" in slice demo-abc"]);
        assert_eq!(
            addresses(&read_one(&slice("IPv6", &[("grpc", 1)], &["2001:db8::1"]), 1)),
            ["[2001:db8::1]:1"]
        );
    }

    #[test]
    fn slices_of_other_services_and_namespaces_are_nobodys_business() {
        let mut others = slice("IPv4", &[("grpc", 1)], &["10.0.0.1"]);
        others.metadata.labels = Some([(SERVICE_LABEL.to_owned(), "demo-2".to_owned())].into());
        let mut elsewhere = slice("IPv4", &[("grpc", 1)], &["10.0.0.1"]);
        elsewhere.metadata.namespace = Some("default".to_owned());
        let mut nobodys = slice("IPv4", &[("grpc", 1)], &["10.0.0.1"]);
        nobodys.metadata.labels = None;
        assert_eq!(
            read([&others, &elsewhere, &nobodys], "shop", "demo", &Port::Number(1)),
            Reading::default()
        );
    }

    fn any_endpoint() -> impl Strategy<Value = Endpoint> {
        let address = prop_oneof!["10\\.0\\.0\\.[0-9]", "2001:db8::[0-9a-f]", "[ -~]{0,8}"];
        let conditions = prop::option::of(any::<[Option<bool>; 3]>());
        (prop::collection::vec(address, 0..3), conditions).prop_map(|(addresses, conditions)| Endpoint {
            addresses,
            conditions: conditions.map(|[ready, serving, terminating]| EndpointConditions {
                ready,
                serving,
                terminating,
            }),
            ..Endpoint::default()
        })
    }

    proptest! {
        #[test]
        fn every_endpoint_is_read_or_named(
            kind in prop::sample::select(vec!["IPv4", "IPv6", "FQDN", ""]),
            endpoints in prop::collection::vec(any_endpoint(), 0..8),
            number in any::<i32>(),
        ) {
            let mut slice = slice(kind, &[("grpc", number)], &[]);
            slice.endpoints = endpoints.clone();
            let reading = read_one(&slice, "grpc");
            if u16::try_from(number).is_ok_and(|number| number != 0) {
                prop_assert_eq!(reading.pods.len() + reading.garbage.len(), endpoints.len());
            } else {
                prop_assert!(!reading.port_found);
            }
        }
    }
}
