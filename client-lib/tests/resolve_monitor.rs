//! `resolve::Monitor` and the feed's services, against a monitor that says what a test wants said.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod support;

use std::net::SocketAddr;
use std::time::Duration;

use obit::Feed;
use obit::feed::{Service, ServiceError, ServiceReason, ServiceState};
use obit::resolve::{Endpoint, Fixed, Monitor, Resolve, Resolving, Running, Sets, Update};
use obit_protocol::monitor_message::Message;
use obit_protocol::watch_service::Port;
use obit_protocol::{EndpointsError, Reason, Verdict, Welcome};
use support::{FakeMonitor, Server, Subscriber, verdict};

fn endpoint(host: u8) -> obit_protocol::Endpoint {
    obit_protocol::Endpoint {
        peer: Some(SocketAddr::from(([10, 0, 0, host], 50051)).into()),
        zone: "a".to_owned(),
        ready: true,
        serving: true,
        terminating: false,
        for_zones: vec!["b".to_owned()],
    }
}

fn set(id: u64, revision: u64, hosts: &[u8]) -> obit_protocol::Endpoints {
    obit_protocol::Endpoints {
        id,
        revision,
        endpoints: hosts.iter().map(|host| endpoint(*host)).collect(),
        ..obit_protocol::Endpoints::default()
    }
}

fn error(id: u64, error: EndpointsError, detail: &str) -> obit_protocol::Endpoints {
    obit_protocol::Endpoints {
        error: error.into(),
        detail: detail.to_owned(),
        ..set(id, 1, &[])
    }
}

fn demo(feed: &Feed) -> Monitor {
    Monitor::new("demo", "shop", "grpc").feed(feed.clone())
}

/// No test here waits for anything that takes longer.
async fn next(running: &mut Running) -> Update {
    let next = tokio::time::timeout(Duration::from_secs(60), running.next());
    next.await
        .expect("something within a minute")
        .expect("a monitor never ends")
}

fn addresses(endpoints: &[Endpoint]) -> Vec<String> {
    endpoints.iter().map(|it| it.address().to_string()).collect()
}

async fn endpoints(running: &mut Running) -> Vec<String> {
    match next(running).await {
        Update::Endpoints(endpoints) => addresses(&endpoints),
        other => panic!("endpoints were expected, not {other:?}"),
    }
}

async fn failure(running: &mut Running) -> ServiceError {
    match next(running).await {
        Update::Failed(error) => error.downcast_ref::<ServiceError>().unwrap().clone(),
        other => panic!("a failure was expected, not {other:?}"),
    }
}

/// Does this while the resolver says nothing.
async fn silently<T>(running: &mut Running, what: impl Future<Output = T>) -> T {
    tokio::select! {
        biased;
        update = running.next() => panic!("nothing was to be said, not {update:?}"),
        done = what => done,
    }
}

/// A subscriber that has asked about the service, and the id of its question.
async fn asked(monitor: &FakeMonitor, running: &mut Running) -> (Subscriber, u64) {
    silently(running, async {
        let mut subscriber = monitor.subscriber(1).await;
        let watch = subscriber.watch_service().await;
        (subscriber, watch.id)
    })
    .await
}

#[tokio::test]
async fn the_monitor_is_asked_by_name_and_its_sets_are_published() {
    let monitor = FakeMonitor::start();
    let mut running = Running::new(demo(&monitor.feed()));
    let watch = silently(&mut running, async {
        let mut subscriber = monitor.subscriber(1).await;
        (subscriber.watch_service().await, subscriber)
    });
    let (watch, mut subscriber) = watch.await;
    assert_eq!((watch.namespace.as_str(), watch.service.as_str()), ("shop", "demo"));
    assert_eq!(watch.port, Some(Port::Name("grpc".to_owned())));
    let mut first = set(watch.id, 1, &[1, 2, 3, 4]);
    (first.endpoints[1].ready, first.endpoints[1].terminating) = (false, true);
    (first.endpoints[2].ready, first.endpoints[2].serving) = (false, false);
    subscriber.send(Message::Endpoints(first)).await;
    let Update::Endpoints(published) = next(&mut running).await else {
        panic!("a set was expected")
    };
    assert_eq!(addresses(&published), ["10.0.0.1:50051", "10.0.0.4:50051"]);
    assert_eq!(published[0].zone().map(|zone| &**zone), Some("a"));
    assert_eq!(published[0].zone_hints(), ["b".into()]);
    // In two parts.
    let part = obit_protocol::Endpoints {
        more: true,
        ..set(watch.id, 2, &[5])
    };
    subscriber.send(Message::Endpoints(part)).await;
    subscriber.send(Message::Endpoints(set(watch.id, 2, &[6]))).await;
    assert_eq!(endpoints(&mut running).await, ["10.0.0.5:50051", "10.0.0.6:50051"]);
}

#[tokio::test]
async fn what_is_known_stays_when_the_monitor_is_lost_and_the_next_one_is_asked_again() {
    let monitor = FakeMonitor::start();
    let feed = monitor.feed();
    let mut running = Running::new(demo(&feed));
    let (mut subscriber, id) = asked(&monitor, &mut running).await;
    subscriber.send(Message::Endpoints(set(id, 1, &[1]))).await;
    assert_eq!(endpoints(&mut running).await, ["10.0.0.1:50051"]);
    drop(subscriber);
    let monitor = monitor.restart();
    let (mut subscriber, id) = asked(&monitor, &mut running).await;
    let watch = feed.watch_service(Service::new("demo", "shop", "grpc"));
    assert!(matches!(watch.state(), ServiceState::Known { endpoints, .. } if endpoints.len() == 1));
    subscriber.send(Message::Endpoints(set(id, 1, &[2]))).await;
    assert_eq!(endpoints(&mut running).await, ["10.0.0.2:50051"]);
}

#[tokio::test]
async fn a_stale_set_is_a_set() {
    let monitor = FakeMonitor::start();
    let feed = monitor.feed();
    let mut running = Running::new(demo(&feed));
    let (mut subscriber, id) = asked(&monitor, &mut running).await;
    let stale = obit_protocol::Endpoints {
        stale_since_ns: 7,
        ..set(id, 1, &[1])
    };
    subscriber.send(Message::Endpoints(stale)).await;
    assert_eq!(endpoints(&mut running).await, ["10.0.0.1:50051"]);
    let watch = feed.watch_service(Service::new("demo", "shop", "grpc"));
    assert!(matches!(
        watch.state(),
        ServiceState::Known {
            stale_since_ns: Some(7),
            ..
        }
    ));
}

#[tokio::test]
async fn no_such_service_is_an_answer_and_no_rights_are_none() {
    let monitor = FakeMonitor::start();
    let mut running = Running::new(demo(&monitor.feed()));
    let (mut subscriber, id) = asked(&monitor, &mut running).await;
    subscriber.send(Message::Endpoints(set(id, 1, &[1]))).await;
    assert_eq!(endpoints(&mut running).await, ["10.0.0.1:50051"]);
    let refused = error(id, EndpointsError::NotAllowed, "the monitor may not read shop");
    subscriber.send(Message::Endpoints(refused)).await;
    let told = failure(&mut running).await;
    assert!(
        matches!(
            &told,
            ServiceError::Told {
                reason: ServiceReason::NotAllowed,
                ..
            }
        ),
        "{told}"
    );
    let gone = error(id, EndpointsError::NoSuchService, "no such service");
    subscriber.send(Message::Endpoints(gone)).await;
    assert!(endpoints(&mut running).await.is_empty());
    assert!(failure(&mut running).await.is_negative_answer());
}

#[tokio::test]
async fn an_old_monitor_is_not_asked_and_goes_on_telling_of_deaths() {
    let monitor = FakeMonitor::start();
    let feed = monitor.feed();
    let peer: SocketAddr = "10.0.0.1:50051".parse().unwrap();
    let mut watch = feed.watch(peer);
    let mut running = Running::new(demo(&feed));
    let old = Welcome {
        version: 1,
        epoch: 1,
        heartbeat_ms: support::HEARTBEAT_MS,
        ..Welcome::default()
    };
    let (subscriber, told) = tokio::join!(monitor.subscriber_with(old), failure(&mut running));
    let mut subscriber = subscriber;
    assert!(matches!(&told, ServiceError::OldMonitor { .. }), "{told}");
    assert!(told.to_string().contains("upgrade it"), "{told}");
    // Its one question is about the peer.
    subscriber.asked_for([peer], vec![]).await;
    subscriber.say(verdict(peer, Verdict::Dead, Reason::Refused, 1)).await;
    while watch.changed().await.verdict != obit::Verdict::Dead {}
}

#[tokio::test]
async fn names_that_cannot_be_a_service_do_not_cost_the_subscription() {
    let monitor = FakeMonitor::start();
    let feed = monitor.feed();
    let mut running = Running::new(Monitor::new("demo.shop", "default", 80).feed(feed.clone()));
    let (mut subscriber, told) = tokio::join!(monitor.subscriber(1), failure(&mut running));
    assert!(matches!(&told, ServiceError::Invalid { .. }), "{told}");
    let peer: SocketAddr = "10.0.0.1:50051".parse().unwrap();
    let _watch = feed.watch(peer);
    subscriber.asked_for([peer], vec![]).await;
}

#[tokio::test]
async fn without_a_monitor_it_is_said_what_to_do() {
    let mut running = Running::new(demo(&Feed::offline()));
    let told = failure(&mut running).await;
    let expected = "no monitor tells the endpoints of demo.shop:grpc: run one on this node, or name another resolver with \
                    `Monitor::or`";
    assert_eq!(told.to_string(), expected);
}

/// Says another set each time an endpoint goes bad.
struct Counting;

impl Resolve for Counting {
    fn run(self: Box<Self>, mut sets: Sets) -> Resolving {
        Box::pin(async move {
            for port in 1.. {
                let address = SocketAddr::from(([127, 0, 0, 1], port));
                sets.publish(vec![Endpoint::new(address)]).await;
                sets.trouble().await;
            }
        })
    }
}

#[tokio::test]
async fn another_resolver_is_asked_while_no_monitor_answers_and_follows_its_own_changes() {
    let mut running = Running::new(demo(&Feed::offline()).or(Counting));
    assert_eq!(endpoints(&mut running).await, ["127.0.0.1:1"]);
    running.trouble();
    assert_eq!(endpoints(&mut running).await, ["127.0.0.1:2"]);
    running.trouble();
    assert_eq!(endpoints(&mut running).await, ["127.0.0.1:3"]);
}

#[tokio::test]
async fn a_monitor_without_kubernetes_leaves_it_to_the_other_at_once() {
    let monitor = FakeMonitor::start();
    let other: Fixed = ["127.0.0.1:9".parse::<SocketAddr>().unwrap()].into_iter().collect();
    let mut running = Running::new(demo(&monitor.feed()).or(other));
    let (subscriber, update) = tokio::join!(
        async {
            let mut subscriber = monitor.subscriber(1).await;
            let id = subscriber.watch_service().await.id;
            let answer = error(
                id,
                EndpointsError::NoKubernetes,
                "this monitor does not watch Kubernetes",
            );
            subscriber.send(Message::Endpoints(answer)).await;
            subscriber
        },
        next(&mut running)
    );
    assert!(matches!(update, Update::Endpoints(endpoints) if addresses(&endpoints) == ["127.0.0.1:9"]));
    drop(subscriber);
}

#[tokio::test]
async fn the_other_rests_as_soon_as_the_monitor_answers() {
    let monitor = FakeMonitor::start();
    let mut running = Running::new(demo(&monitor.feed()).or(Counting));
    // Nobody has welcomed the feed yet.
    assert_eq!(endpoints(&mut running).await, ["127.0.0.1:1"]);
    let (mut subscriber, id) = asked(&monitor, &mut running).await;
    subscriber.send(Message::Endpoints(set(id, 1, &[1]))).await;
    assert_eq!(endpoints(&mut running).await, ["10.0.0.1:50051"]);
    running.trouble();
    subscriber.send(Message::Endpoints(set(id, 2, &[2]))).await;
    assert_eq!(endpoints(&mut running).await, ["10.0.0.2:50051"]);
}

#[tokio::test]
async fn a_client_of_a_service_takes_its_endpoints_from_the_monitor() {
    let server = Server::start().await;
    let monitor = FakeMonitor::start();
    let client = obit::Client::builder("obit:///demo.shop:grpc")
        .feed(monitor.feed())
        .build()
        .unwrap();
    let mut subscriber = monitor.subscriber(1).await;
    let watch = subscriber.watch_service().await;
    assert_eq!((watch.namespace.as_str(), watch.service.as_str()), ("shop", "demo"));
    let mut told = set(watch.id, 1, &[1]);
    told.endpoints[0].peer = Some(server.address.into());
    subscriber.send(Message::Endpoints(told)).await;
    let request = http::Request::get("/")
        .body(http_body_util::Empty::<bytes::Bytes>::new())
        .unwrap();
    assert_eq!(client.request(request).await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_service_nobody_watches_any_more_is_not_asked_about() {
    let monitor = FakeMonitor::start();
    let feed = monitor.feed();
    let service = Service::new("demo", "shop", 50051);
    let first = feed.watch_service(service.clone());
    let mut second = feed.watch_service(service.clone());
    let mut subscriber = monitor.subscriber(1).await;
    let watch = subscriber.watch_service().await;
    assert_eq!(watch.port, Some(Port::Number(50051)));
    drop(first);
    subscriber.send(Message::Endpoints(set(watch.id, 1, &[1]))).await;
    assert!(matches!(second.changed().await, ServiceState::Known { .. }));
    drop(second);
    let ended = subscriber.watch_service().await;
    assert_eq!((ended.id, ended.end), (watch.id, true));
    let again = feed.watch_service(service);
    assert_eq!(again.state(), ServiceState::Unknown);
    assert!(!subscriber.watch_service().await.end);
}
