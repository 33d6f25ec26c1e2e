//! From a service's slices to the endpoints of one of its ports. Pure.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use obit_protocol::{Endpoint, watch_service};

use super::slice::{Pod, Slice, SlicePort};

/// One port of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Port {
    /// The port the pods listen on.
    Number(u16),
    /// The name the service gives it; empty for the one without.
    Name(String),
}

impl Port {
    /// The port a subscriber asks for; `None` if it names none.
    #[must_use]
    pub fn asked(port: &watch_service::Port) -> Option<Self> {
        match port {
            watch_service::Port::Number(number) => u16::try_from(*number).ok().map(Self::Number),
            watch_service::Port::Name(name) => Some(Self::Name(name.clone())),
        }
    }
}

/// Why a service has no endpoints on a port.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Nothing {
    /// There is no slice.
    NoSlice,
    /// None of the slices declares the port; what they declare, as `name=number`.
    NoSuchPort(BTreeSet<String>),
}

/// The endpoints of `port`, each once, in the order of their addresses.
pub(super) fn select(slices: &[Arc<Slice>], port: &Port) -> Result<Vec<Endpoint>, Nothing> {
    if slices.is_empty() {
        return Err(Nothing::NoSlice);
    }
    let mut found = false;
    let mut pods: Vec<(SocketAddr, &Pod)> = Vec::new();
    for slice in slices {
        // The slice of a service without pods declares nothing yet.
        found |= slice.pods.is_empty() && slice.any_port;
        let Some(number) = number(slice, port) else {
            continue;
        };
        found = true;
        pods.extend(slice.pods.iter().map(|pod| (SocketAddr::new(pod.ip, number), pod)));
    }
    if !found {
        let declared = slices.iter().flat_map(|slice| slice.ports.iter()).map(described);
        return Err(Nothing::NoSuchPort(declared.collect()));
    }
    // A pod that moves from one slice to another may be in both for a while: the better word counts.
    pods.sort_by_key(|(address, pod)| (*address, !pod.ready, !pod.serving, pod.terminating));
    pods.dedup_by_key(|(address, _)| *address);
    Ok(pods.into_iter().map(|(address, pod)| endpoint(address, pod)).collect())
}

/// The number of `port` in a slice.
fn number(slice: &Slice, port: &Port) -> Option<u16> {
    match port {
        Port::Number(number) => slice.has(*number).then_some(*number),
        Port::Name(name) => slice.ports.iter().find(|port| *port.name == **name)?.number,
    }
}

fn described(port: &SlicePort) -> String {
    match port.number {
        Some(number) if port.name.is_empty() => number.to_string(),
        Some(number) => format!("{}={number}", port.name),
        None => format!("{}=any", port.name),
    }
}

fn endpoint(address: SocketAddr, pod: &Pod) -> Endpoint {
    Endpoint {
        peer: Some(address.into()),
        zone: pod.zone.as_deref().unwrap_or_default().to_owned(),
        ready: pod.ready,
        serving: pod.serving,
        terminating: pod.terminating,
        for_zones: pod.for_zones.iter().map(|zone| zone.to_string()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::discovery::v1::{EndpointHints, EndpointSlice, ForZone};

    use super::super::names::Names;
    use super::super::slice::read;
    use super::super::slice::tests::{ending, object};
    use super::*;

    fn slices(objects: &[EndpointSlice]) -> Vec<Arc<Slice>> {
        let read = |object| Arc::new(read(object, &mut Names::default()).slice);
        objects.iter().map(read).collect()
    }

    fn addresses(slices: &[Arc<Slice>], port: Port) -> Vec<String> {
        let endpoints = select(slices, &port).unwrap();
        let address = |endpoint: &Endpoint| SocketAddr::try_from(endpoint.peer.as_ref().unwrap()).unwrap();
        endpoints.iter().map(|it| address(it).to_string()).collect()
    }

    fn named(name: &str) -> Port {
        Port::Name(name.to_owned())
    }

    #[test]
    fn a_port_is_found_by_name_or_number_and_each_slice_may_have_another_number() {
        let both = slices(&[
            object("b", &[("grpc", 50052)], &["10.0.0.2"]),
            object("a", &[("grpc", 50051), ("metrics", 9090)], &["10.0.0.1"]),
        ]);
        assert_eq!(addresses(&both, named("grpc")), ["10.0.0.1:50051", "10.0.0.2:50052"]);
        assert_eq!(addresses(&both, Port::Number(50052)), ["10.0.0.2:50052"]);
        assert_eq!(addresses(&both, named("metrics")), ["10.0.0.1:9090"]);
        let declared = ["grpc=50051", "grpc=50052", "metrics=9090"].map(str::to_owned).into();
        assert_eq!(select(&both, &named("http")), Err(Nothing::NoSuchPort(declared)));
    }

    #[test]
    fn no_slice_is_another_thing_than_no_pod() {
        assert_eq!(select(&[], &named("grpc")), Err(Nothing::NoSlice));
        // As the controller makes it for a service that chooses no pod.
        let mut empty = object("a", &[], &[]);
        empty.ports = None;
        assert_eq!(select(&slices(&[empty]), &named("grpc")), Ok(vec![]));
    }

    #[test]
    fn a_pod_in_two_slices_is_one_endpoint_and_the_better_word_counts() {
        let mut leaving = object("a", &[("grpc", 1)], &[]);
        leaving.endpoints.push(ending("10.0.0.1"));
        let both = slices(&[leaving, object("b", &[("grpc", 1)], &["10.0.0.1"])]);
        let endpoints = select(&both, &named("grpc")).unwrap();
        assert_eq!(endpoints.len(), 1);
        assert!(endpoints[0].ready && !endpoints[0].terminating);
    }

    #[test]
    fn a_pod_of_a_dual_stack_service_is_told_in_both_families() {
        let mut sixes = object("b", &[("grpc", 1)], &["2001:db8::1"]);
        sixes.address_type = "IPv6".to_owned();
        let both = slices(&[sixes, object("a", &[("grpc", 1)], &["10.0.0.1"])]);
        assert_eq!(addresses(&both, named("grpc")), ["10.0.0.1:1", "[2001:db8::1]:1"]);
    }

    #[test]
    fn every_pod_is_told_with_its_zone_and_its_conditions() {
        let mut slice = object("a", &[("grpc", 1)], &[]);
        slice.endpoints.push(ending("10.0.0.1"));
        slice.endpoints[0].zone = Some("west".to_owned());
        let zone = |name: &str| ForZone { name: name.to_owned() };
        slice.endpoints[0].hints = Some(EndpointHints {
            for_zones: Some(vec![zone("west"), zone("north")]),
            ..EndpointHints::default()
        });
        let endpoints = select(&slices(&[slice]), &named("grpc")).unwrap();
        let it = &endpoints[0];
        assert_eq!((it.ready, it.serving, it.terminating), (false, true, true));
        assert_eq!(it.zone, "west");
        assert_eq!(it.for_zones, ["west", "north"]);
    }
}
