//! What is kept of an EndpointSlice: a few dozen bytes an endpoint, of the kilobyte it is told in. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use k8s_openapi::api::discovery::v1::{Endpoint, EndpointPort, EndpointSlice};

use super::names::Names;
use crate::endpoint::PodUid;

/// The label by which a slice says whose it is.
pub(super) const SERVICE_LABEL: &str = "kubernetes.io/service-name";

/// The most zones an endpoint may be meant for: what the API itself allows (`hints.forZones`, `discovery.k8s.io/v1`).
const ZONES_MAX: usize = 8;

/// A slice, as far as it matters here.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Slice {
    /// The TCP ports it declares.
    pub(super) ports: Box<[SlicePort]>,
    /// It declares no ports at all: its pods serve on every one.
    pub(super) any_port: bool,
    pub(super) pods: Box<[Pod]>,
}

/// A port of a slice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SlicePort {
    /// Empty for the one without a name.
    pub(super) name: Arc<str>,
    /// `None`: every one.
    pub(super) number: Option<u16>,
}

/// An endpoint of a slice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pod {
    pub(super) ip: IpAddr,
    pub(super) uid: PodUid,
    /// Where it runs.
    pub(super) zone: Option<Arc<str>>,
    /// The zones whose clients are meant to use it.
    pub(super) for_zones: Box<[Arc<str>]>,
    pub(super) ready: bool,
    pub(super) serving: bool,
    pub(super) terminating: bool,
}

impl Slice {
    /// Whether its pods serve on the port of that number.
    pub(super) fn has(&self, number: u16) -> bool {
        let is_it = |port: &SlicePort| port.number.is_none_or(|it| it == number);
        self.any_port || self.ports.iter().any(is_it)
    }
}

/// A slice, and whose it is.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Read {
    pub(super) namespace: Arc<str>,
    /// The slice's own name.
    pub(super) name: Arc<str>,
    /// `None`: no service's.
    pub(super) service: Option<Arc<str>>,
    pub(super) slice: Slice,
    /// What could not be read of it, for the log.
    pub(super) garbage: Vec<String>,
}

/// Reads a slice; what in it is no address of a pod is left out, and named.
pub(super) fn read(object: &EndpointSlice, names: &mut Names) -> Read {
    let labels = object.metadata.labels.as_ref();
    let service = labels.and_then(|labels| labels.get(SERVICE_LABEL));
    let ports: Vec<_> = object.ports.iter().flatten().filter(|port| is_tcp(port)).collect();
    let mut garbage = Vec::new();
    let mut pods = Vec::with_capacity(object.endpoints.len());
    for endpoint in &object.endpoints {
        match address(&object.address_type, endpoint) {
            Ok(ip) => pods.push(pod(ip, endpoint, names)),
            Err(what) => garbage.push(what),
        }
    }
    Read {
        namespace: names.share(object.metadata.namespace.as_deref().unwrap_or_default()),
        name: object.metadata.name.as_deref().unwrap_or_default().into(),
        service: service.map(|service| names.share(service)),
        slice: Slice {
            any_port: object.ports.as_ref().is_none_or(Vec::is_empty),
            ports: ports.into_iter().filter_map(|port| slice_port(port, names)).collect(),
            pods: pods.into_boxed_slice(),
        },
        garbage,
    }
}

fn is_tcp(port: &EndpointPort) -> bool {
    port.protocol.as_deref().is_none_or(|protocol| protocol == "TCP")
}

/// `None`: a number that is no port's.
fn slice_port(port: &EndpointPort, names: &mut Names) -> Option<SlicePort> {
    let number = match port.port {
        None => None,
        Some(number) => Some(u16::try_from(number).ok().filter(|number| *number != 0)?),
    };
    Some(SlicePort {
        name: names.share(port.name.as_deref().unwrap_or_default()),
        number,
    })
}

/// The address of an endpoint, or what there is in place of one. Several addresses are one and the same to Kubernetes, and
/// the first is the one to use.
fn address(kind: &str, endpoint: &Endpoint) -> Result<IpAddr, String> {
    let text = endpoint.addresses.first().ok_or("an endpoint without an address")?;
    let parsed = match kind {
        "IPv4" => text.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
        "IPv6" => text.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        kind => return Err(format!("{text:?}, an address of type {kind:?}")),
    };
    parsed
        .map(|ip| ip.to_canonical())
        .filter(|ip| !ip.is_unspecified() && !ip.is_multicast())
        .ok_or_else(|| format!("{text:?}, which is no {kind} address of a pod"))
}

/// What is not said of a condition means what it means to kube-proxy.
fn pod(ip: IpAddr, endpoint: &Endpoint, names: &mut Names) -> Pod {
    let conditions = endpoint.conditions.as_ref();
    let uid = endpoint.target_ref.as_ref().and_then(|target| target.uid.as_deref());
    Pod {
        ip,
        uid: uid.map_or(PodUid::UNKNOWN, PodUid::of),
        zone: endpoint.zone.as_deref().map(|zone| names.share(zone)),
        for_zones: for_zones(endpoint, names),
        ready: conditions.and_then(|it| it.ready).unwrap_or(true),
        serving: conditions.and_then(|it| it.serving).unwrap_or(true),
        terminating: conditions.and_then(|it| it.terminating).unwrap_or(false),
    }
}

fn for_zones(endpoint: &Endpoint, names: &mut Names) -> Box<[Arc<str>]> {
    let hints = endpoint.hints.as_ref().and_then(|hints| hints.for_zones.as_ref());
    let zones = hints.into_iter().flatten().take(ZONES_MAX);
    zones.map(|zone| names.share(&zone.name)).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use k8s_openapi::api::core::v1::ObjectReference;
    use k8s_openapi::api::discovery::v1::EndpointConditions;
    use proptest::prelude::*;

    use super::*;

    /// A slice of `demo` in `shop`.
    pub(crate) fn object(name: &str, ports: &[(&str, i32)], addresses: &[&str]) -> EndpointSlice {
        let mut slice = EndpointSlice {
            address_type: "IPv4".to_owned(),
            endpoints: addresses.iter().map(|address| endpoint(address)).collect(),
            ports: Some(ports.iter().map(|(name, number)| port(name, *number)).collect()),
            ..EndpointSlice::default()
        };
        slice.metadata.name = Some(name.to_owned());
        slice.metadata.namespace = Some("shop".to_owned());
        slice.metadata.labels = Some([(SERVICE_LABEL.to_owned(), "demo".to_owned())].into());
        slice
    }

    /// The pod at `address` has its address for a UID.
    pub(crate) fn endpoint(address: &str) -> Endpoint {
        Endpoint {
            addresses: vec![address.to_owned()],
            target_ref: Some(ObjectReference {
                uid: Some(address.to_owned()),
                ..ObjectReference::default()
            }),
            ..Endpoint::default()
        }
    }

    /// The same, told to end.
    pub(crate) fn ending(address: &str) -> Endpoint {
        Endpoint {
            conditions: Some(EndpointConditions {
                ready: Some(false),
                serving: Some(true),
                terminating: Some(true),
            }),
            ..endpoint(address)
        }
    }

    fn port(name: &str, number: i32) -> EndpointPort {
        EndpointPort {
            name: Some(name.to_owned()),
            port: Some(number),
            ..EndpointPort::default()
        }
    }

    fn read_one(object: &EndpointSlice) -> Read {
        read(object, &mut Names::default())
    }

    fn addresses(read: &Read) -> Vec<String> {
        read.slice.pods.iter().map(|pod| pod.ip.to_string()).collect()
    }

    #[test]
    fn it_says_whose_it_is_and_which_ports_its_pods_serve_on() {
        let read = read_one(&object(
            "demo-abc",
            &[("grpc", 50051), ("metrics", 9090)],
            &["10.0.0.1"],
        ));
        assert_eq!((&*read.namespace, &*read.name), ("shop", "demo-abc"));
        assert_eq!(read.service.as_deref(), Some("demo"));
        assert!(read.slice.has(50051) && read.slice.has(9090) && !read.slice.has(80));
        let mut nobodys = object("demo-abc", &[("grpc", 50051)], &[]);
        nobodys.metadata.labels = None;
        assert_eq!(read_one(&nobodys).service, None);
    }

    #[test]
    fn a_slice_without_ports_serves_on_every_one_and_udp_is_another_matter() {
        let mut any = object("demo-abc", &[], &["10.0.0.1"]);
        assert!(read_one(&any).slice.has(80));
        any.ports = None;
        assert!(read_one(&any).slice.has(80));
        let mut dns = port("dns", 53);
        dns.protocol = Some("UDP".to_owned());
        any.ports = Some(vec![dns]);
        assert!(!read_one(&any).slice.has(53));
        any.ports = Some(vec![EndpointPort::default()]);
        assert!(read_one(&any).slice.has(80), "a port without a number is every one");
    }

    #[test]
    fn what_is_no_port_is_none() {
        let wrong = object(
            "demo-abc",
            &[("zero", 0), ("less", -1), ("more", 65_536)],
            &["10.0.0.1"],
        );
        let read = read_one(&wrong);
        assert!(read.slice.ports.is_empty() && !read.slice.any_port);
    }

    #[test]
    fn what_is_not_said_of_a_condition_is_what_it_is_to_kube_proxy() {
        let conditions = |ready, serving, terminating| {
            let mut slice = object("demo-abc", &[], &["10.0.0.1"]);
            slice.endpoints[0].conditions = Some(EndpointConditions {
                ready,
                serving,
                terminating,
            });
            let pod = read_one(&slice).slice.pods[0].clone();
            (pod.ready, pod.serving, pod.terminating)
        };
        assert_eq!(conditions(None, None, None), (true, true, false));
        assert_eq!(conditions(Some(false), None, Some(true)), (false, true, true));
        assert_eq!(conditions(Some(false), Some(false), None), (false, false, false));
    }

    #[test]
    fn what_is_no_address_is_named_and_the_others_stay() {
        let mut wrong = object(
            "demo-abc",
            &[],
            &["10.0.0.1", "pod-2", "2001:db8::1", "0.0.0.0", "224.0.0.1"],
        );
        wrong.endpoints.push(Endpoint::default());
        let read = read_one(&wrong);
        assert_eq!(addresses(&read), ["10.0.0.1"]);
        assert_eq!(read.garbage.len(), 5);
        assert_eq!(read.garbage[0], "\"pod-2\", which is no IPv4 address of a pod");
        wrong.address_type = "FQDN".to_owned();
        assert_eq!(read_one(&wrong).garbage[1], "\"pod-2\", an address of type \"FQDN\"");
        wrong.address_type = "IPv6".to_owned();
        assert_eq!(addresses(&read_one(&wrong)), ["2001:db8::1"]);
    }

    #[test]
    fn names_are_kept_once() {
        let mut names = Names::default();
        let one = read(&object("a", &[("grpc", 1)], &["10.0.0.1"]), &mut names);
        let other = read(&object("b", &[("grpc", 2)], &["10.0.0.2"]), &mut names);
        assert!(Arc::ptr_eq(&one.namespace, &other.namespace));
        assert!(Arc::ptr_eq(&one.slice.ports[0].name, &other.slice.ports[0].name));
        drop((one, other));
        names.forget_unused();
        assert_eq!(names.len(), 0);
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
        ) {
            let mut slice = object("demo-abc", &[], &[]);
            slice.address_type = kind.to_owned();
            slice.endpoints = endpoints.clone();
            let read = read_one(&slice);
            prop_assert_eq!(read.slice.pods.len() + read.garbage.len(), endpoints.len());
        }
    }
}
