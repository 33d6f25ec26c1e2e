//! Kubernetes beside the kernel: what subscribers are told of services and of their pods, against an API on loopback that speaks the
//! watch protocol.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

#[path = "../../client-lib/tests/api_support/mod.rs"]
mod api_support;
mod support;

use std::net::SocketAddr;
use std::sync::Arc;

use api_support::{Api, Unstreamed};
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice};
use obit_monitor::kubernetes::{self, Access};
use obit_protocol::monitor_message::Message;
use obit_protocol::watch_service::Port;
use obit_protocol::{Endpoints, EndpointsError, Reason, Verdict, WatchService, client_message};
use support::{Client, Monitor, Setup};
use tempfile::TempDir;

/// A slice of `demo` in `shop`: `kind` and the last number of each pod's address.
fn slice(name: &str, hosts: &[(State, u8)]) -> EndpointSlice {
    let port = EndpointPort {
        name: Some("grpc".to_owned()),
        port: Some(50051),
        ..EndpointPort::default()
    };
    let mut slice = EndpointSlice {
        address_type: "IPv4".to_owned(),
        endpoints: hosts.iter().map(|(state, host)| endpoint(*state, *host)).collect(),
        ports: Some(vec![port]),
        ..EndpointSlice::default()
    };
    slice.metadata.name = Some(name.to_owned());
    slice.metadata.namespace = Some("shop".to_owned());
    slice.metadata.labels = Some([("kubernetes.io/service-name".to_owned(), "demo".to_owned())].into());
    slice
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Ready,
    Ending,
    /// Ready, and another pod.
    Successor,
}

use State::{Ending, Ready, Successor};

fn endpoint(state: State, host: u8) -> Endpoint {
    let generation = u8::from(state == Successor);
    Endpoint {
        addresses: vec![pod(host).ip().to_string()],
        conditions: (state == Ending).then_some(EndpointConditions {
            ready: Some(false),
            serving: Some(true),
            terminating: Some(true),
        }),
        target_ref: Some(ObjectReference {
            uid: Some(format!("{generation}-{host}")),
            ..ObjectReference::default()
        }),
        ..Endpoint::default()
    }
}

fn pod(host: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, host], 50051))
}

/// A monitor that watches an API.
struct Node {
    monitor: Monitor,
    api: Api,
    folder: TempDir,
}

impl Node {
    async fn start(slices: &[EndpointSlice]) -> Self {
        let node = Self::without_a_watch().await;
        slices.iter().for_each(|slice| node.api.apply(slice));
        node.watch()
    }

    async fn without_a_watch() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let setup = Setup {
            board: Some(Arc::default()),
            ..Setup::default()
        };
        Self {
            monitor: Monitor::start_with(&folder.path().join("obit.sock"), setup),
            api: Api::start().await,
            folder,
        }
    }

    fn watch(self) -> Self {
        let kubeconfig = self.folder.path().join("kubeconfig");
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: test\n\
             clusters: [{{name: test, cluster: {{server: 'http://{}'}}}}]\n\
             users: [{{name: test, user: {{}}}}]\n\
             contexts: [{{name: test, context: {{cluster: test, user: test}}}}]\n",
            self.api.address()
        );
        std::fs::write(&kubeconfig, text).unwrap();
        self.watch_with(Access {
            kubeconfig: Some(kubeconfig),
        })
    }

    fn watch_with(self, access: Access) -> Self {
        let board = Arc::clone(self.monitor.board.as_ref().unwrap());
        kubernetes::start(access, board, Arc::clone(&self.monitor.hub), None).unwrap();
        self
    }

    async fn client(&self) -> Client {
        Client::welcomed(&self.monitor.path).await.0
    }
}

fn question(id: u64, service: &str, port: Port) -> WatchService {
    WatchService {
        id,
        namespace: "shop".into(),
        service: service.into(),
        port: Some(port),
        end: false,
    }
}

async fn ask(client: &mut Client, watch: WatchService) {
    client.say(client_message::Message::WatchService(watch)).await;
}

async fn ask_for_demo(client: &mut Client) {
    ask(client, question(1, "demo", Port::Name("grpc".into()))).await;
}

/// The next whole answer about a service, its parts put together.
async fn answer(client: &mut Client) -> Endpoints {
    let mut whole: Option<Endpoints> = None;
    loop {
        let Message::Endpoints(part) = client.next().await else {
            panic!("an answer was expected")
        };
        let more = part.more;
        match &mut whole {
            Some(whole) if whole.revision == part.revision => whole.endpoints.extend(part.endpoints),
            _ => whole = Some(part),
        }
        if !more {
            return whole.unwrap();
        }
    }
}

/// The next answer that is none of these errors.
async fn answer_but(client: &mut Client, error: EndpointsError) -> Endpoints {
    loop {
        let answer = answer(client).await;
        if answer.error() != error {
            return answer;
        }
    }
}

/// The endpoints, once they are known.
async fn known(client: &mut Client) -> Vec<SocketAddr> {
    addresses(&answer_but(client, EndpointsError::Unavailable).await)
}

fn addresses(answer: &Endpoints) -> Vec<SocketAddr> {
    assert_eq!(answer.error(), EndpointsError::Unspecified, "{}", answer.detail);
    let address = |endpoint: &obit_protocol::Endpoint| SocketAddr::try_from(endpoint.peer.as_ref().unwrap()).unwrap();
    answer.endpoints.iter().map(address).collect()
}

/// The next word about a peer.
async fn verdict(client: &mut Client) -> (Verdict, Reason) {
    let notice = client.notice().await;
    (notice.verdict(), notice.reason())
}

#[tokio::test]
async fn whoever_asks_is_told_the_endpoints_and_every_change() {
    let node = Node::start(&[slice("a", &[(Ready, 1), (Ready, 2)])]).await;
    let mut client = node.client().await;
    ask_for_demo(&mut client).await;
    assert_eq!(known(&mut client).await, [pod(1), pod(2)]);
    node.api.apply(&slice("b", &[(Ready, 3)]));
    assert_eq!(addresses(&answer(&mut client).await), [pod(1), pod(2), pod(3)]);
    node.api.apply(&slice("a", &[(Ending, 1), (Ready, 2)]));
    let told = answer(&mut client).await;
    assert!(told.endpoints[0].terminating && !told.endpoints[0].ready && told.endpoints[0].serving);
    node.api.delete("a");
    assert_eq!(addresses(&answer(&mut client).await), [pod(3)]);
    // A second one is told what is known at once, and the change of another service is nobody's.
    let mut late = node.client().await;
    ask_for_demo(&mut late).await;
    assert_eq!(addresses(&answer(&mut late).await), [pod(3)]);
    node.api.delete("b");
    for client in [&mut client, &mut late] {
        assert_eq!(answer(client).await.error(), EndpointsError::NoSuchService);
    }
}

#[tokio::test]
async fn an_api_that_does_not_stream_lists_is_asked_for_pages() {
    for why in [Unstreamed::Unknown, Unstreamed::Storage] {
        let node = Node::without_a_watch().await;
        node.api.only_list(why);
        node.api.apply(&slice("a", &[(Ready, 1)]));
        let node = node.watch();
        let mut client = node.client().await;
        ask_for_demo(&mut client).await;
        assert_eq!(known(&mut client).await, [pod(1)]);
        assert!(node.api.queries().iter().any(|query| query.contains("limit=100")));
        // The one that failed, and the one that follows the list: this API tells a watch nothing from before it.
        node.api.watches(2).await;
        node.api.apply(&slice("a", &[(Ready, 2)]));
        assert_eq!(addresses(&answer(&mut client).await), [pod(2)]);
    }
}

#[tokio::test]
async fn what_is_not_there_is_said_and_told_when_it_is() {
    let node = Node::start(&[slice("a", &[(Ready, 1)])]).await;
    let mut client = node.client().await;
    ask_for_demo(&mut client).await;
    known(&mut client).await;
    ask(&mut client, question(2, "demo", Port::Name("http".into()))).await;
    let no_port = answer(&mut client).await;
    assert_eq!((no_port.id, no_port.error()), (2, EndpointsError::NoSuchPort));
    assert!(no_port.detail.contains("it has grpc=50051"), "{}", no_port.detail);
    ask(&mut client, question(3, "other", Port::Number(80))).await;
    let no_service = answer(&mut client).await;
    assert_eq!((no_service.id, no_service.error()), (3, EndpointsError::NoSuchService));
    let mut other = slice("o", &[(Ready, 9)]);
    other
        .metadata
        .labels
        .as_mut()
        .unwrap()
        .values_mut()
        .for_each(|it| *it = "other".to_owned());
    other.ports.as_mut().unwrap()[0].port = Some(80);
    node.api.apply(&other);
    let told = answer(&mut client).await;
    assert_eq!((told.id, addresses(&told)), (3, vec![SocketAddr::new(pod(9).ip(), 80)]));
}

#[tokio::test]
async fn without_rights_the_asker_is_told_which_and_gets_the_set_when_they_are_given() {
    let node = Node::without_a_watch().await;
    node.api.apply(&slice("a", &[(Ready, 1)]));
    node.api.refuse(403);
    let node = node.watch();
    let mut client = node.client().await;
    ask_for_demo(&mut client).await;
    let refused = answer_but(&mut client, EndpointsError::Unavailable).await;
    assert_eq!(refused.error(), EndpointsError::NotAllowed);
    assert!(
        refused.detail.contains("`list` and `watch` of `endpointslices`"),
        "{}",
        refused.detail
    );
    node.api.refuse(None);
    assert_eq!(
        addresses(&answer_but(&mut client, EndpointsError::NotAllowed).await),
        [pod(1)]
    );
}

#[tokio::test]
async fn without_a_way_to_the_api_the_asker_is_told_so_and_the_kernel_is_heard_as_ever() {
    let node = Node::without_a_watch().await;
    let kubeconfig = Some(node.folder.path().join("not-there"));
    let node = node.watch_with(Access { kubeconfig });
    let mut client = node.client().await;
    ask_for_demo(&mut client).await;
    let detail = loop {
        let told = answer(&mut client).await;
        assert_eq!(told.error(), EndpointsError::Unavailable);
        if told.detail.contains("--kubeconfig") {
            break told.detail;
        }
    };
    assert!(detail.contains("not-there"), "{detail}");
    client.watch(1, &[pod(1)]).await;
    client.snapshot().await;
    node.monitor.refused(pod(1));
    assert_eq!(verdict(&mut client).await, (Verdict::Dead, Reason::Refused));
}

#[tokio::test]
async fn while_the_api_is_away_the_last_set_stays_and_is_marked() {
    let mut node = Node::start(&[slice("a", &[(Ready, 1)])]).await;
    let mut client = node.client().await;
    ask_for_demo(&mut client).await;
    assert_eq!(known(&mut client).await, [pod(1)]);
    node.api.stop();
    let stale = answer(&mut client).await;
    assert_eq!(addresses(&stale), [pod(1)]);
    assert!(stale.stale_since_ns > 0);
    node.api.resume().await;
    let fresh = answer(&mut client).await;
    assert_eq!((addresses(&fresh), fresh.stale_since_ns), (vec![pod(1)], 0));
    node.api.apply(&slice("a", &[(Ready, 2)]));
    assert_eq!(addresses(&answer(&mut client).await), [pod(2)]);
}

#[tokio::test]
async fn a_pod_that_is_told_to_end_drains_and_is_dead_when_it_is_gone() {
    let node = Node::start(&[slice("a", &[(Ready, 1), (Ready, 2)])]).await;
    let mut client = node.client().await;
    ask_for_demo(&mut client).await;
    known(&mut client).await;
    client.watch(1, &[pod(1), pod(2)]).await;
    client.snapshot().await;
    let mut told = client_without_services(&node).await;
    node.api.apply(&slice("a", &[(Ending, 1), (Ready, 2)]));
    assert_eq!(verdict(&mut told).await, (Verdict::Draining, Reason::Terminating));
    node.api.apply(&slice("a", &[(Ready, 2)]));
    assert_eq!(verdict(&mut told).await, (Verdict::Dead, Reason::Deleted));
    // Whoever asks later is told the same.
    let mut late = node.client().await;
    late.watch(1, &[pod(1)]).await;
    let known = late.snapshot().await.notices;
    assert_eq!(
        (known[0].verdict(), known[0].reason()),
        (Verdict::Dead, Reason::Deleted)
    );
    // Taken out of its service, a pod lives on: what the kernel says of it is told next.
    node.api.apply(&slice("a", &[]));
    node.api.apply(&slice("a", &[(Ready, 3)]));
    node.monitor.refused(pod(2));
    assert_eq!(verdict(&mut told).await, (Verdict::Dead, Reason::Refused));
}

/// Watches both pods, and no service.
async fn client_without_services(node: &Node) -> Client {
    Client::watching(&node.monitor.path, &[pod(1), pod(2)]).await
}

#[tokio::test]
async fn what_was_said_before_a_peer_was_asked_about_counts() {
    let node = Node::start(&[slice("a", &[(Ending, 1), (Ready, 2)])]).await;
    let mut client = node.client().await;
    ask_for_demo(&mut client).await;
    known(&mut client).await;
    let mut other = node.client().await;
    other.watch(1, &[pod(1), pod(2)]).await;
    // Before or after the snapshot.
    let told = match other.next().await {
        Message::Notice(notice) => notice,
        Message::Snapshot(snapshot) => match snapshot.notices.first() {
            Some(notice) => notice.clone(),
            None => other.notice().await,
        },
        unexpected => panic!("{unexpected:?}"),
    };
    assert_eq!(
        (told.verdict(), told.reason()),
        (Verdict::Draining, Reason::Terminating)
    );
    assert_eq!(told.peer, Some(pod(1).into()));
}

#[tokio::test]
async fn ready_never_overrides_a_refusal_and_another_pod_does() {
    let node = Node::start(&[slice("a", &[(Ready, 1)])]).await;
    let mut client = node.client().await;
    ask_for_demo(&mut client).await;
    known(&mut client).await;
    let mut told = Client::watching(&node.monitor.path, &[pod(1)]).await;
    node.monitor.refused(pod(1));
    assert_eq!(verdict(&mut told).await, (Verdict::Dead, Reason::Refused));
    // It is listed as ready, again and again.
    node.api.apply(&slice("b", &[(Ready, 1)]));
    node.api.delete("b");
    node.api.apply(&slice("a", &[(Successor, 1)]));
    assert_eq!(verdict(&mut told).await, (Verdict::Unknown, Reason::Expired));
}

#[tokio::test]
async fn addresses_that_are_none_are_left_out_and_a_name_that_is_none_ends_the_asker_alone() {
    let mut wrong = slice("a", &[(Ready, 1), (Ready, 2)]);
    wrong.endpoints[0].addresses = vec!["not-an-address".to_owned()];
    wrong.endpoints.push(Endpoint::default());
    let node = Node::start(&[wrong]).await;
    let mut client = node.client().await;
    ask_for_demo(&mut client).await;
    assert_eq!(known(&mut client).await, [pod(2)]);
    let mut other = node.client().await;
    ask(&mut other, question(1, "../demo", Port::Number(80))).await;
    let (_, detail) = other.goodbye().await;
    assert!(detail.contains("\"../demo\" is no name of a service"), "{detail}");
    node.api.apply(&slice("a", &[(Ready, 3)]));
    assert_eq!(addresses(&answer(&mut client).await), [pod(3)]);
}

#[tokio::test]
async fn fifty_thousand_endpoints_come_whole_and_nobody_waits_for_them() {
    const SLICES: u8 = 50;
    const EACH: u16 = 1_000;
    let node = Node::without_a_watch().await;
    for number in 0..SLICES {
        let mut large = slice(&format!("large-{number}"), &[]);
        large
            .metadata
            .labels
            .as_mut()
            .unwrap()
            .values_mut()
            .for_each(|it| *it = "large".to_owned());
        let address = |host: u16| format!("10.{}.{}.{}", 1 + number, host / 250, 1 + host % 250);
        large.endpoints = (0..EACH)
            .map(|host| Endpoint {
                addresses: vec![address(host)],
                zone: Some("a".to_owned()),
                ..Endpoint::default()
            })
            .collect();
        node.api.apply(&large);
    }
    node.api.apply(&slice("a", &[(Ready, 1)]));
    let node = node.watch();
    let mut client = node.client().await;
    ask(&mut client, question(1, "large", Port::Name("grpc".into()))).await;
    let mut other = node.client().await;
    ask_for_demo(&mut other).await;
    assert_eq!(known(&mut other).await, [pod(1)]);
    assert_eq!(known(&mut client).await.len(), usize::from(SLICES) * usize::from(EACH));
}
