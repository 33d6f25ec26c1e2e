//! Services in the subscription: what to ask the monitor about them, and what its answers say. Pure: no socket, no clock.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;

use obit_protocol as wire;

use super::service_watch::{ServiceError, ServiceReason, ServiceState};
use super::state::Violation;
use crate::service::{Port, Service, ServiceEndpoint};

/// More than any service has: a monitor that tells of more is not to be believed.
pub(super) const MAX_ENDPOINTS: usize = 65_536;

/// What is asked about services, for one feed.
///
/// ```text
///           want            requests()                unwant, requests()
/// (nobody) ──────▶ waiting ────────────▶ watched, id ────────────────────▶ (nobody)
///                     ▲                       │ refused
///                     └──────── close() ──────┴───────▶ a new session asks everything again
/// ```
#[derive(Debug, Default)]
pub(super) struct Services {
    /// Whether the monitor of this session knows of services.
    supported: bool,
    waiting: HashSet<Service>,
    /// Their ids; none of those the monitor was not asked about.
    asked: HashMap<Service, Option<u64>>,
    leaving: HashSet<Service>,
    watched: HashMap<u64, Watched>,
    last_id: u64,
}

#[derive(Debug)]
struct Watched {
    service: Service,
    /// Of the set whose parts these are.
    revision: u64,
    parts: Vec<ServiceEndpoint>,
}

impl Services {
    /// A session begins, with a monitor that knows of services or does not.
    pub(super) fn open(&mut self, supported: bool) {
        self.supported = supported;
    }

    /// Somebody asks about `service`.
    pub(super) fn want(&mut self, service: Service) {
        if !self.leaving.contains(&service) && self.asked.contains_key(&service) {
            return;
        }
        // One that was dropped and is wanted again is asked about anew: whoever wants it now was not told the answer.
        self.waiting.insert(service);
    }

    /// Nobody asks about `service` any more.
    pub(super) fn unwant(&mut self, service: &Service) {
        self.waiting.remove(service);
        if self.asked.contains_key(service) {
            self.leaving.insert(service.clone());
        }
    }

    /// What to send now, in an open session, and of which services there is nothing to ask.
    pub(super) fn requests(&mut self) -> (Vec<wire::WatchService>, Vec<(Service, ServiceState)>) {
        let (mut requests, mut refused) = (Vec::new(), Vec::new());
        for service in self.leaving.drain() {
            if let Some(Some(id)) = self.asked.remove(&service) {
                self.watched.remove(&id);
                requests.push(wire::WatchService {
                    id,
                    end: true,
                    ..wire::WatchService::default()
                });
            }
        }
        for service in self.waiting.drain() {
            let watch = request(self.last_id + 1, &service);
            let error = match watch.check() {
                Err(source) => Some(ServiceError::Invalid {
                    service: service.clone(),
                    source,
                }),
                Ok(()) if !self.supported => Some(ServiceError::OldMonitor {
                    service: service.clone(),
                }),
                Ok(()) => None,
            };
            if let Some(error) = error {
                refused.push((service.clone(), ServiceState::Failed(error)));
                self.asked.insert(service, None);
                continue;
            }
            self.last_id = watch.id;
            self.asked.insert(service.clone(), Some(watch.id));
            let watched = Watched {
                service,
                revision: 0,
                parts: Vec::new(),
            };
            self.watched.insert(watch.id, watched);
            requests.push(watch);
        }
        (requests, refused)
    }

    /// A part of a set: returns what is known when it was the last one. What is about nothing asked is nobody's business.
    pub(super) fn heard(&mut self, told: wire::Endpoints) -> Result<Option<(Service, ServiceState)>, Violation> {
        let Some(watched) = self.watched.get_mut(&told.id) else {
            return Ok(None);
        };
        if told.revision != watched.revision {
            watched.revision = told.revision;
            watched.parts.clear();
        }
        let service = watched.service.clone();
        if told.error != 0 {
            watched.parts.clear();
            let error = ServiceError::Told {
                service: service.clone(),
                reason: reason(told.error()),
                detail: told.detail,
            };
            return Ok(Some((service, ServiceState::Failed(error))));
        }
        if watched.parts.len() + told.endpoints.len() > MAX_ENDPOINTS {
            return Err(Violation::TooManyEndpoints);
        }
        watched
            .parts
            .extend(told.endpoints.iter().filter_map(|it| endpoint(&service, it)));
        if told.more {
            return Ok(None);
        }
        let state = ServiceState::Known {
            endpoints: std::mem::take(&mut watched.parts).into(),
            stale_since_ns: (told.stale_since_ns != 0).then_some(told.stale_since_ns),
        };
        Ok(Some((service, state)))
    }

    /// The session is over. The next one is asked everything again; what is known stays until it answers.
    pub(super) fn close(&mut self) {
        for service in self.leaving.drain() {
            self.asked.remove(&service);
        }
        self.waiting.extend(self.asked.drain().map(|(service, _)| service));
        self.watched.clear();
    }
}

impl Service {
    /// Whether there can be such a service.
    pub(crate) fn check(&self) -> Result<(), wire::ServiceError> {
        request(0, self).check()
    }
}

fn request(id: u64, service: &Service) -> wire::WatchService {
    wire::WatchService {
        id,
        namespace: service.namespace().to_owned(),
        service: service.name().to_owned(),
        port: Some(match service.port() {
            Port::Number(number) => wire::watch_service::Port::Number((*number).into()),
            Port::Name(name) => wire::watch_service::Port::Name(name.to_string()),
        }),
        end: false,
    }
}

/// An endpoint at an address nobody can dial is left out: the others are as good as they were.
fn endpoint(service: &Service, told: &wire::Endpoint) -> Option<ServiceEndpoint> {
    let Some(peer) = &told.peer else {
        tracing::warn!(%service, "left out an endpoint without an address");
        return None;
    };
    match SocketAddr::try_from(peer) {
        Ok(address) => Some(ServiceEndpoint {
            address,
            zone: (!told.zone.is_empty()).then(|| told.zone.as_str().into()),
            for_zones: told.for_zones.iter().map(|zone| zone.as_str().into()).collect(),
            ready: told.ready,
            serving: told.serving,
            terminating: told.terminating,
        }),
        Err(error) => {
            tracing::warn!(%service, %error, "left out an endpoint");
            None
        }
    }
}

fn reason(error: wire::EndpointsError) -> ServiceReason {
    match error {
        wire::EndpointsError::Unspecified => ServiceReason::Other,
        wire::EndpointsError::NoKubernetes => ServiceReason::NoKubernetes,
        wire::EndpointsError::NoSuchService => ServiceReason::NoSuchService,
        wire::EndpointsError::NoSuchPort => ServiceReason::NoSuchPort,
        wire::EndpointsError::NotAllowed => ServiceReason::NotAllowed,
        wire::EndpointsError::Unavailable => ServiceReason::Unavailable,
        wire::EndpointsError::TooManyServices => ServiceReason::TooManyServices,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn service(name: &str) -> Service {
        Service::new(name, "shop", "grpc")
    }

    /// One that watches these, in a session with a monitor that knows of services.
    fn watching(names: &[&str]) -> (Services, Vec<wire::WatchService>) {
        let mut services = Services::default();
        services.open(true);
        for name in names {
            services.want(service(name));
        }
        let (requests, refused) = services.requests();
        assert!(refused.is_empty());
        (services, requests)
    }

    fn part(id: u64, revision: u64, hosts: &[u8], more: bool) -> wire::Endpoints {
        let endpoint = |host: &u8| wire::Endpoint {
            peer: Some(SocketAddr::from(([10, 0, 0, *host], 80)).into()),
            ready: true,
            ..wire::Endpoint::default()
        };
        wire::Endpoints {
            id,
            revision,
            endpoints: hosts.iter().map(endpoint).collect(),
            more,
            ..wire::Endpoints::default()
        }
    }

    /// The last number of each address told.
    fn hosts(told: Option<(Service, ServiceState)>) -> Vec<u8> {
        let Some((_, ServiceState::Known { endpoints, .. })) = told else {
            panic!("a set was expected, not {told:?}");
        };
        let host = |endpoint: &ServiceEndpoint| match endpoint.address {
            SocketAddr::V4(address) => address.ip().octets()[3],
            SocketAddr::V6(_) => 0,
        };
        endpoints.iter().map(host).collect()
    }

    #[test]
    fn a_service_is_asked_about_once_and_by_name() {
        let (mut services, requests) = watching(&["demo"]);
        assert_eq!(requests.len(), 1);
        assert_eq!(
            (requests[0].namespace.as_str(), requests[0].service.as_str()),
            ("shop", "demo")
        );
        assert_eq!(
            requests[0].port,
            Some(wire::watch_service::Port::Name("grpc".to_owned()))
        );
        services.want(service("demo"));
        assert_eq!(services.requests().0, []);
    }

    #[test]
    fn a_set_counts_when_its_last_part_is_there() {
        let (mut services, requests) = watching(&["demo"]);
        let id = requests[0].id;
        assert_eq!(services.heard(part(id, 1, &[1, 2], true)), Ok(None));
        assert_eq!(hosts(services.heard(part(id, 1, &[3], false)).unwrap()), [1, 2, 3]);
        assert_eq!(hosts(services.heard(part(id, 2, &[4], false)).unwrap()), [4]);
    }

    #[test]
    fn a_newer_set_voids_the_parts_of_the_one_it_interrupts() {
        let (mut services, requests) = watching(&["demo"]);
        let id = requests[0].id;
        assert_eq!(services.heard(part(id, 1, &[1, 2], true)), Ok(None));
        assert_eq!(services.heard(part(id, 2, &[3], true)), Ok(None));
        assert_eq!(hosts(services.heard(part(id, 2, &[4], false)).unwrap()), [3, 4]);
    }

    #[test]
    fn an_error_between_two_parts_leaves_nothing_of_them() {
        let (mut services, requests) = watching(&["demo"]);
        let id = requests[0].id;
        assert_eq!(services.heard(part(id, 1, &[1], true)), Ok(None));
        let error = wire::Endpoints {
            error: wire::EndpointsError::NotAllowed.into(),
            detail: "no rights".to_owned(),
            ..part(id, 1, &[], false)
        };
        let (_, state) = services.heard(error).unwrap().unwrap();
        let ServiceState::Failed(error) = state else {
            panic!("{state:?}")
        };
        assert!(!error.is_negative_answer());
        let expected = "the monitor tells no endpoints of demo.shop:grpc: no rights";
        assert_eq!(error.to_string(), expected);
        assert_eq!(hosts(services.heard(part(id, 1, &[2], false)).unwrap()), [2]);
    }

    #[test]
    fn an_error_only_a_newer_client_knows_is_no_answer() {
        let (mut services, requests) = watching(&["demo"]);
        let told = wire::Endpoints {
            error: 99,
            ..part(requests[0].id, 1, &[1], false)
        };
        let (_, state) = services.heard(told).unwrap().unwrap();
        assert!(matches!(
            state,
            ServiceState::Failed(ServiceError::Told {
                reason: ServiceReason::Other,
                ..
            })
        ));
    }

    #[test]
    fn an_endpoint_nobody_can_dial_is_left_out() {
        let (mut services, requests) = watching(&["demo"]);
        let mut told = part(requests[0].id, 1, &[1, 2, 3], false);
        told.endpoints[0].peer = None;
        told.endpoints[1].peer.as_mut().unwrap().address = vec![1, 2, 3];
        assert_eq!(hosts(services.heard(told).unwrap()), [3]);
    }

    #[test]
    fn what_nobody_asks_about_any_more_is_ended_and_not_heard() {
        let (mut services, requests) = watching(&["demo"]);
        let id = requests[0].id;
        services.unwant(&service("demo"));
        let (ended, _) = services.requests();
        assert_eq!(ended.iter().map(|it| (it.id, it.end)).collect::<Vec<_>>(), [(id, true)]);
        assert_eq!(services.heard(part(id, 1, &[1], false)), Ok(None));
    }

    #[test]
    fn a_service_dropped_and_wanted_again_is_asked_about_anew() {
        let (mut services, requests) = watching(&["demo"]);
        services.unwant(&service("demo"));
        services.want(service("demo"));
        let (again, _) = services.requests();
        assert_eq!(again.iter().map(|it| it.end).collect::<Vec<_>>(), [true, false]);
        assert_ne!(again[1].id, requests[0].id);
        assert_eq!(hosts(services.heard(part(again[1].id, 1, &[1], false)).unwrap()), [1]);
    }

    #[test]
    fn a_new_session_is_asked_everything_again() {
        let (mut services, requests) = watching(&["demo", "other"]);
        services.heard(part(requests[0].id, 1, &[1], true)).unwrap();
        services.unwant(&service("other"));
        services.close();
        services.open(true);
        let (again, _) = services.requests();
        assert_eq!(again.iter().map(|it| it.service.as_str()).collect::<Vec<_>>(), ["demo"]);
        assert_eq!(hosts(services.heard(part(again[0].id, 1, &[2], false)).unwrap()), [2]);
    }

    #[test]
    fn an_old_monitor_is_not_asked_and_a_newer_one_after_it_is() {
        let mut services = Services::default();
        services.want(service("demo"));
        services.open(false);
        let (requests, refused) = services.requests();
        assert!(requests.is_empty());
        assert!(matches!(
            refused[0].1,
            ServiceState::Failed(ServiceError::OldMonitor { .. })
        ));
        assert_eq!(services.requests(), (vec![], vec![]), "said once");
        services.close();
        services.open(true);
        assert_eq!(services.requests().0.len(), 1);
    }

    #[test]
    fn what_cannot_be_a_service_is_never_asked_about() {
        let mut services = Services::default();
        services.open(true);
        services.want(Service::new("../demo", "shop", "grpc"));
        let (requests, refused) = services.requests();
        assert!(requests.is_empty());
        assert!(matches!(
            refused[0].1,
            ServiceState::Failed(ServiceError::Invalid { .. })
        ));
    }

    #[test]
    fn a_set_without_end_is_not_kept() {
        let (mut services, requests) = watching(&["demo"]);
        let many = vec![1; MAX_ENDPOINTS];
        assert_eq!(services.heard(part(requests[0].id, 1, &many, true)), Ok(None));
        let one_more = part(requests[0].id, 1, &[2], true);
        assert_eq!(services.heard(one_more), Err(Violation::TooManyEndpoints));
    }

    proptest! {
        /// Sets in any parts, some broken off: what is told last is the last whole set.
        #[test]
        fn the_last_whole_set_is_what_is_known(
            sets in prop::collection::vec((prop::collection::vec(prop::collection::vec(1u8.., 0..4), 1..4), any::<bool>()), 1..6),
        ) {
            let (mut services, requests) = watching(&["demo"]);
            let (mut told, mut expected) = (None, None);
            for (revision, (parts, whole)) in (1..).zip(&sets) {
                let sent = if *whole { parts.len() } else { parts.len() - 1 };
                for (n, part_of) in parts.iter().take(sent).enumerate() {
                    let more = n + 1 < parts.len();
                    let heard = services.heard(part(requests[0].id, revision, part_of, more)).unwrap();
                    prop_assert_eq!(heard.is_some(), !more);
                    told = heard.map(|heard| hosts(Some(heard))).or(told);
                }
                if *whole {
                    expected = Some(parts.concat());
                }
            }
            prop_assert_eq!(told, expected);
        }
    }
}
