//! The pods of this node, as an API on loopback tells them: whom subscribers are taken for, and what they may ask for.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

#[path = "../../client-lib/tests/api_support/mod.rs"]
mod api_support;
mod support;

use std::sync::Arc;
use std::time::Duration;

use api_support::Api;
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};
use obit_monitor::kubernetes::{self, Access, NodePods, ServiceName};
use obit_monitor::subscribers::{Place, Policy, Roll, Uid};
use obit_protocol::monitor_message::Message;
use obit_protocol::{EndpointsError, WatchService, client_message, watch_service};
use support::{Client, Monitor, Setup};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(20);

const SHOP: &str = "00000000-0000-4000-8000-000000000001";
const WEB: &str = "00000000-0000-4000-8000-000000000002";
const ELSEWHERE: &str = "00000000-0000-4000-8000-000000000003";

const POLICY: &str = "unknown = [\"shop/open\"]\n[[rules]]\nfrom = [\"shop\"]\nservices = [\"./*\"]";

/// A monitor that watches an API.
struct Node {
    monitor: Monitor,
    api: Api,
    roll: Arc<Roll>,
    folder: TempDir,
}

impl Node {
    async fn new(policy: Option<&str>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let policy = policy.map(|text| Policy::parse(text).unwrap());
        let roll = Arc::new(Roll::new(None, policy));
        let setup = Setup {
            board: Some(Arc::default()),
            roll: Arc::clone(&roll),
            ..Setup::default()
        };
        Self {
            monitor: Monitor::start_with(&folder.path().join("obit.sock"), setup),
            api: Api::start().await,
            roll,
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
        let access = Access {
            kubeconfig: Some(kubeconfig),
        };
        let pods = NodePods {
            node: "node-a".to_owned(),
            roll: Arc::clone(&self.roll),
        };
        let board = Arc::clone(self.monitor.board.as_ref().unwrap());
        kubernetes::start(access, board, Arc::clone(&self.monitor.hub), Some(pods)).unwrap();
        self
    }

    fn admit(&self, uid: &str) -> Place {
        self.roll.admit(Uid::parse(uid))
    }
}

/// The pod, as soon as it is known.
async fn named(place: &mut Place) -> String {
    loop {
        if let Some(pod) = place.pod() {
            return pod.to_string();
        }
        let changed = tokio::time::timeout(PATIENCE, place.changed());
        changed.await.expect("nothing became known");
    }
}

fn slice(service: &str) -> EndpointSlice {
    let mut slice = EndpointSlice {
        address_type: "IPv4".to_owned(),
        endpoints: vec![Endpoint {
            addresses: vec!["10.0.0.1".to_owned()],
            ..Endpoint::default()
        }],
        ..EndpointSlice::default()
    };
    slice.metadata.name = Some(format!("{service}-abc"));
    slice.metadata.namespace = Some("shop".to_owned());
    slice.metadata.labels = Some([("kubernetes.io/service-name".to_owned(), service.to_owned())].into());
    slice
}

/// Asks for a service and returns what is told of it first that is not "wait".
async fn answer(client: &mut Client, id: u64, service: &str) -> (EndpointsError, usize, String) {
    let watch = WatchService {
        id,
        namespace: "shop".into(),
        service: service.into(),
        port: Some(watch_service::Port::Number(80)),
        end: false,
    };
    client.say(client_message::Message::WatchService(watch)).await;
    loop {
        match client.next().await {
            Message::Endpoints(told) if told.id == id && told.error() != EndpointsError::Unavailable => {
                return (told.error(), told.endpoints.len(), told.detail);
            }
            _ => {}
        }
    }
}

#[tokio::test]
async fn pods_of_this_node_are_known_as_they_come_and_those_of_others_are_not() {
    let node = Node::new(None).await;
    node.api.apply_pod("node-a", "shop", "demo-0", SHOP);
    node.api.apply_pod("node-b", "shop", "demo-1", ELSEWHERE);
    let node = node.watch();
    let mut shop = node.admit(SHOP);
    assert_eq!(named(&mut shop).await, "shop/demo-0");
    let (mut web, elsewhere) = (node.admit(WEB), node.admit(ELSEWHERE));
    node.api.apply_pod("node-a", "web", "front", WEB);
    assert_eq!(named(&mut web).await, "web/front");
    assert_eq!(elsewhere.pod(), None);
    assert_eq!(node.roll.pods(), Some(2));
    let counts: Vec<_> = node.roll.by_namespace().into_iter().collect();
    let counts: Vec<_> = counts.iter().map(|(namespace, count)| (&**namespace, *count)).collect();
    assert_eq!(counts, [("", 1), ("shop", 1), ("web", 1)]);
    // What was deleted is known to nobody who comes later.
    node.api.delete_pod(SHOP);
    let third = "00000000-0000-4000-8000-000000000004";
    let mut after = node.admit(third);
    node.api.apply_pod("node-a", "shop", "demo-2", third);
    assert_eq!(named(&mut after).await, "shop/demo-2");
    assert_eq!(node.admit(SHOP).pod(), None);
    assert!(shop.pod().is_some(), "who was known stays so");
}

#[tokio::test]
async fn without_the_right_to_see_pods_nobody_is_known_and_everything_else_works() {
    let node = Node::new(None).await;
    node.api.refuse_pods(403);
    node.api.apply_pod("node-a", "shop", "demo-0", SHOP);
    node.api.apply(&slice("demo"));
    let node = node.watch();
    let mut place = node.admit(SHOP);
    let (mut client, _) = Client::welcomed(&node.monitor.path).await;
    assert_eq!(answer(&mut client, 1, "demo").await.1, 1);
    assert_eq!(place.pod(), None);
    // As soon as it may, it knows.
    node.api.refuse_pods(None);
    assert_eq!(named(&mut place).await, "shop/demo-0");
}

#[tokio::test]
async fn who_is_in_no_pod_may_ask_for_what_the_policy_says_of_the_unknown_and_others_are_undisturbed() {
    let node = Node::new(Some(POLICY)).await;
    node.api.apply_pod("node-a", "shop", "demo-0", SHOP);
    for service in ["open", "demo"] {
        node.api.apply(&slice(service));
    }
    let node = node.watch();
    let (mut client, _) = Client::welcomed(&node.monitor.path).await;
    let (error, endpoints, detail) = answer(&mut client, 1, "demo").await;
    assert_eq!((error, endpoints), (EndpointsError::NotAllowed, 0));
    assert_eq!(
        detail,
        "the monitor's policy does not allow subscribers whose pod is not known to ask for demo.shop"
    );
    // In the same session.
    assert_eq!(answer(&mut client, 2, "open").await.1, 1);
    assert_eq!(node.roll.denied(), Some(1));
    let mut shop = node.admit(SHOP);
    named(&mut shop).await;
    let demo = ServiceName {
        namespace: "shop".into(),
        name: "demo".into(),
    };
    assert!(shop.may_ask(&demo).is_ok());
}
