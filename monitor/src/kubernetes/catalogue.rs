//! Every slice of the cluster, by service and by address. Pure.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use k8s_openapi::api::discovery::v1::EndpointSlice;

use super::names::Names;
use super::slice::{Pod, Read, Slice, read};
use crate::endpoint::Listed;

/// A service. Shown as `demo.shop`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServiceName {
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.name, self.namespace)
    }
}

/// What a change was about.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    /// Services whose endpoints are others now.
    pub(super) services: BTreeSet<ServiceName>,
    /// Addresses of which something else is said now.
    pub(super) addresses: BTreeSet<IpAddr>,
}

impl Changes {
    fn and(&mut self, more: Self) {
        self.services.extend(more.services);
        self.addresses.extend(more.addresses);
    }
}

/// The slices as last told.
#[derive(Debug, Default)]
pub(super) struct Catalogue {
    names: Names,
    services: HashMap<ServiceName, BTreeMap<Arc<str>, Arc<Slice>>>,
    owners: HashMap<SliceName, Owner>,
    by_address: HashMap<IpAddr, Vec<Arc<Slice>>>,
    /// Which telling of all slices this is.
    telling: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct SliceName {
    namespace: Arc<str>,
    name: Arc<str>,
}

#[derive(Debug)]
struct Owner {
    service: ServiceName,
    /// In which telling it came last.
    told: u32,
}

impl Catalogue {
    /// All slices are told from here on, each with [`apply`](Self::apply). Until they are, those known before stay.
    pub(super) fn begin(&mut self) {
        self.telling = self.telling.wrapping_add(1);
    }

    /// All slices were told: those that were not are gone.
    pub(super) fn complete(&mut self) -> Changes {
        let gone = |owner: &Owner| owner.told != self.telling;
        let gone: Vec<_> = self
            .owners
            .iter()
            .filter(|(_, owner)| gone(owner))
            .map(|(name, _)| name.clone())
            .collect();
        let mut changes = Changes::default();
        for name in &gone {
            changes.and(self.take_out(name));
        }
        self.names.forget_unused();
        changes
    }

    /// A slice is new, or is another now. Appends what of it could not be read.
    pub(super) fn apply(&mut self, object: &EndpointSlice, garbage: &mut Vec<String>) -> Changes {
        let read = read(object, &mut self.names);
        garbage.extend(
            read.garbage
                .iter()
                .map(|what| format!("{what}, in slice {}/{}", read.namespace, read.name)),
        );
        let name = SliceName {
            namespace: Arc::clone(&read.namespace),
            name: Arc::clone(&read.name),
        };
        let mut changes = Changes::default();
        let of_another = self
            .owners
            .get(&name)
            .is_some_and(|owner| Some(&owner.service.name) != read.service.as_ref());
        if of_another {
            changes = self.take_out(&name);
        }
        changes.and(self.put(name, read));
        changes
    }

    /// A slice is gone.
    pub(super) fn delete(&mut self, object: &EndpointSlice) -> Changes {
        let name = SliceName {
            namespace: object.metadata.namespace.as_deref().unwrap_or_default().into(),
            name: object.metadata.name.as_deref().unwrap_or_default().into(),
        };
        self.take_out(&name)
    }

    /// The slices of a service; none if it is not known.
    pub(super) fn slices(&self, service: &ServiceName) -> Vec<Arc<Slice>> {
        let slices = self.services.get(service);
        slices.map_or_else(Vec::new, |slices| slices.values().cloned().collect())
    }

    /// What is said of a peer.
    pub(super) fn listed(&self, peer: SocketAddr) -> Option<Listed> {
        let slices = self.by_address.get(&peer.ip())?.iter();
        let serving = slices.filter(|slice| slice.has(peer.port()));
        let pods = serving.flat_map(|slice| slice.pods.iter().filter(|pod| pod.ip == peer.ip()));
        // A pod is in as many slices as services choose it, and not all are told of its end at the same time. The address of a node
        // may pass from one pod to another while both are listed: the one that stays has it.
        let newest = pods.min_by_key(|pod| (pod.terminating, pod.uid));
        newest.map(|pod| Listed {
            uid: pod.uid,
            terminating: pod.terminating,
        })
    }

    /// How many slices and addresses there are.
    pub(super) fn sizes(&self) -> (usize, usize) {
        (self.owners.len(), self.by_address.len())
    }

    fn put(&mut self, name: SliceName, read: Read) -> Changes {
        let mut changes = Changes::default();
        let Some(service) = read.service else {
            return changes;
        };
        let service = ServiceName {
            namespace: read.namespace,
            name: service,
        };
        let slices = self.services.entry(service.clone()).or_default();
        let before = slices.get(&name.name).cloned();
        if before.as_deref() != Some(&read.slice) {
            let slice = Arc::new(read.slice);
            slices.insert(Arc::clone(&name.name), Arc::clone(&slice));
            changes.addresses = differing(before.as_deref(), Some(&slice));
            changes.services.insert(service.clone());
            if let Some(before) = before {
                self.unlist(&before);
            }
            for pod in &slice.pods {
                let there = self.by_address.entry(pod.ip).or_default();
                if !there.iter().any(|other| Arc::ptr_eq(other, &slice)) {
                    there.push(Arc::clone(&slice));
                }
            }
        }
        let told = self.telling;
        self.owners.insert(name, Owner { service, told });
        changes
    }

    fn take_out(&mut self, name: &SliceName) -> Changes {
        let mut changes = Changes::default();
        let Some(owner) = self.owners.remove(name) else {
            return changes;
        };
        if let Entry::Occupied(mut slices) = self.services.entry(owner.service.clone()) {
            let slice = slices.get_mut().remove(&name.name);
            if slices.get().is_empty() {
                slices.remove();
            }
            if let Some(slice) = slice {
                changes.addresses = differing(Some(&slice), None);
                self.unlist(&slice);
            }
        }
        changes.services.insert(owner.service);
        changes
    }

    fn unlist(&mut self, slice: &Arc<Slice>) {
        for pod in &slice.pods {
            if let Entry::Occupied(mut there) = self.by_address.entry(pod.ip) {
                there.get_mut().retain(|other| !Arc::ptr_eq(other, slice));
                if there.get().is_empty() {
                    there.remove();
                }
            }
        }
    }
}

/// The addresses of which the one slice says something else than the other.
fn differing(before: Option<&Slice>, after: Option<&Slice>) -> BTreeSet<IpAddr> {
    let pods = |slice: Option<&Slice>| -> BTreeMap<IpAddr, Pod> {
        let pods = slice.into_iter().flat_map(|slice| slice.pods.iter());
        pods.map(|pod| (pod.ip, pod.clone())).collect()
    };
    let ports = |slice: Option<&Slice>| slice.map(|slice| (slice.any_port, slice.ports.clone()));
    let same_ports = ports(before) == ports(after);
    let (before, after) = (pods(before), pods(after));
    let all = before.keys().chain(after.keys());
    all.filter(|ip| !same_ports || before.get(ip) != after.get(ip))
        .copied()
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::slice::tests::{ending, object};
    use super::*;
    use crate::endpoint::PodUid;

    fn demo() -> ServiceName {
        ServiceName {
            namespace: "shop".into(),
            name: "demo".into(),
        }
    }

    fn apply(catalogue: &mut Catalogue, object: &EndpointSlice) -> Changes {
        catalogue.apply(object, &mut Vec::new())
    }

    fn listed(catalogue: &Catalogue, peer: &str) -> Option<(PodUid, bool)> {
        let listed = catalogue.listed(peer.parse().unwrap());
        listed.map(|listed| (listed.uid, listed.terminating))
    }

    fn addresses(changes: &Changes) -> Vec<String> {
        changes.addresses.iter().map(ToString::to_string).collect()
    }

    fn pod(address: &str) -> PodUid {
        PodUid::of(address)
    }

    #[test]
    fn a_change_names_the_service_and_only_the_addresses_that_changed() {
        let mut catalogue = Catalogue::default();
        let one = object("a", &[("grpc", 1)], &["10.0.0.1", "10.0.0.2"]);
        let changes = apply(&mut catalogue, &one);
        assert_eq!(changes.services, [demo()].into());
        assert_eq!(addresses(&changes), ["10.0.0.1", "10.0.0.2"]);
        assert_eq!(apply(&mut catalogue, &one), Changes::default(), "told again");
        let mut other = one.clone();
        other.endpoints[1] = ending("10.0.0.2");
        assert_eq!(addresses(&apply(&mut catalogue, &other)), ["10.0.0.2"]);
        other.ports.as_mut().unwrap()[0].port = Some(2);
        assert_eq!(addresses(&apply(&mut catalogue, &other)), ["10.0.0.1", "10.0.0.2"]);
        assert_eq!(listed(&catalogue, "10.0.0.1:2"), Some((pod("10.0.0.1"), false)));
        assert_eq!(listed(&catalogue, "10.0.0.1:1"), None);
    }

    #[test]
    fn a_pod_of_two_services_is_there_until_both_have_let_it_go() {
        let mut catalogue = Catalogue::default();
        let one = object("a", &[("grpc", 1)], &["10.0.0.1"]);
        let mut other = object("b", &[("grpc", 1)], &["10.0.0.1"]);
        other
            .metadata
            .labels
            .as_mut()
            .unwrap()
            .values_mut()
            .for_each(|it| *it = "other".to_owned());
        apply(&mut catalogue, &one);
        apply(&mut catalogue, &other);
        catalogue.delete(&one);
        assert_eq!(listed(&catalogue, "10.0.0.1:1"), Some((pod("10.0.0.1"), false)));
        assert_eq!(catalogue.slices(&demo()).len(), 0);
        let changes = catalogue.delete(&other);
        assert_eq!(addresses(&changes), ["10.0.0.1"]);
        assert_eq!(listed(&catalogue, "10.0.0.1:1"), None);
        assert_eq!(catalogue.sizes(), (0, 0));
    }

    #[test]
    fn a_pod_ends_when_every_slice_says_so() {
        let mut catalogue = Catalogue::default();
        let one = object("a", &[], &["10.0.0.1"]);
        let mut other = object("b", &[], &[]);
        other.endpoints.push(ending("10.0.0.1"));
        apply(&mut catalogue, &one);
        apply(&mut catalogue, &other);
        assert_eq!(listed(&catalogue, "10.0.0.1:1"), Some((pod("10.0.0.1"), false)));
        catalogue.delete(&one);
        assert_eq!(listed(&catalogue, "10.0.0.1:1"), Some((pod("10.0.0.1"), true)));
    }

    #[test]
    fn what_a_new_telling_does_not_tell_is_gone_when_it_is_complete() {
        let mut catalogue = Catalogue::default();
        let (one, other) = (object("a", &[], &["10.0.0.1"]), object("b", &[], &["10.0.0.2"]));
        for told in [&one, &other] {
            apply(&mut catalogue, told);
        }
        catalogue.begin();
        apply(&mut catalogue, &one);
        assert_eq!(catalogue.slices(&demo()).len(), 2, "it is not complete yet");
        // Cut off, and begun anew.
        catalogue.begin();
        apply(&mut catalogue, &one);
        let changes = catalogue.complete();
        assert_eq!(
            (addresses(&changes), catalogue.slices(&demo()).len()),
            (vec!["10.0.0.2".to_owned()], 1)
        );
        assert_eq!(catalogue.complete(), Changes::default());
    }

    #[test]
    fn a_slice_may_pass_to_another_service_or_to_none() {
        let mut catalogue = Catalogue::default();
        let mut slice = object("a", &[], &["10.0.0.1"]);
        apply(&mut catalogue, &slice);
        slice
            .metadata
            .labels
            .as_mut()
            .unwrap()
            .values_mut()
            .for_each(|it| *it = "other".to_owned());
        let changes = apply(&mut catalogue, &slice);
        assert_eq!(changes.services.len(), 2);
        assert!(catalogue.slices(&demo()).is_empty());
        slice.metadata.labels = None;
        apply(&mut catalogue, &slice);
        assert_eq!(catalogue.sizes(), (0, 0));
    }

    proptest! {
        /// Whatever came before, the catalogue is what it would be had it been told the last state alone.
        #[test]
        fn it_is_the_last_state_whatever_came_before(
            events in prop::collection::vec(("[ab]", 0..3u8, prop::collection::vec(0..4u8, 0..4)), 0..12),
        ) {
            let mut catalogue = Catalogue::default();
            let mut last = BTreeMap::new();
            for (name, kind, hosts) in &events {
                let mut slice = object(name, &[("grpc", i32::from(*kind) + 1)], &[]);
                slice.endpoints = hosts.iter().map(|host| ending(&format!("10.0.0.{host}"))).collect();
                if *kind == 0 {
                    catalogue.delete(&slice);
                    last.remove(name);
                } else {
                    apply(&mut catalogue, &slice);
                    last.insert(name, slice);
                }
            }
            let mut fresh = Catalogue::default();
            for slice in last.values() {
                apply(&mut fresh, slice);
            }
            prop_assert_eq!(catalogue.slices(&demo()), fresh.slices(&demo()));
            prop_assert_eq!(catalogue.sizes(), fresh.sizes());
            for host in 0..4 {
                for port in 1..4 {
                    let peer = format!("10.0.0.{host}:{port}");
                    prop_assert_eq!(listed(&catalogue, &peer), listed(&fresh, &peer));
                }
            }
        }
    }
}
