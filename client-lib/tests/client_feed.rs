//! `obit::Client` under the eyes of a monitor: what verdicts do to rotation, to connections and to calls in flight.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod client_support;
mod support;

use std::time::Duration;

use bytes::Bytes;
use client_support::{Server, Speaks, get, post, settled};
use http::Response;
use http_body_util::BodyExt;
use obit::{Body, Cause, Client, EndpointEvent, Error, Idempotent, Phase};
use obit_protocol::{Reason, Verdict};
use support::{Blackhole, LiveMonitor};
use tokio::sync::broadcast::Receiver;
use tokio::task::JoinSet;

fn client(monitor: &LiveMonitor, servers: &[Server]) -> Client {
    let endpoints = servers.iter().map(Server::address);
    Client::builder("http://pods.test")
        .feed(monitor.feed())
        .endpoints(endpoints)
        .build()
        .unwrap()
}

/// Waits until `server` comes to `phase`.
async fn comes_to(events: &mut Receiver<EndpointEvent>, server: &Server, phase: Phase) -> EndpointEvent {
    loop {
        let event = events.recv().await.unwrap();
        if event.peer == server.address() && event.to == phase {
            return event;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_death_fails_what_may_not_be_repeated_with_its_reason_and_moves_the_rest() {
    let monitor = LiveMonitor::start();
    let servers = Server::several(3).await;
    let client = client(&monitor, &servers);
    settled(&client, 3).await;
    for server in &servers {
        monitor.watching(server.address()).await;
    }
    let mut events = client.events();
    servers[0].hold();
    let calls: Vec<_> = (0..60)
        .map(|id| {
            let client = client.clone();
            let mut request = post(id, Bytes::new());
            request.extensions_mut().insert(Idempotent(id < 30));
            tokio::spawn(async move { (id, client.request(request).await) })
        })
        .collect();
    servers[0].holds(20).await;
    monitor.say(servers[0].address(), Verdict::Dead, Reason::Unreachable);
    let mut lost = 0;
    for call in calls {
        match call.await.unwrap() {
            (_, Ok(response)) => assert_eq!(response.status(), 200),
            (id, Err(Error::PeerDead(dead))) => {
                assert!(id >= 30);
                assert_eq!(dead.peer, servers[0].address());
                assert_eq!(dead.reason, obit::Reason::Unreachable);
                lost += 1;
            }
            (_, Err(other)) => panic!("{other:?}"),
        }
    }
    assert!(lost > 0);
    let evicted = comes_to(&mut events, &servers[0], Phase::Evicted).await;
    assert!(evicted.cause.kernel_ns().is_some());
    // It is alive after all: its probe brings it back without a word from the monitor.
    comes_to(&mut events, &servers[0], Phase::Ready).await;
}

/// Calls in flight that may not be repeated.
fn posts(client: &Client, count: u64) -> JoinSet<Result<Response<Body>, Error>> {
    let mut calls = JoinSet::new();
    for id in 0..count {
        let client = client.clone();
        calls.spawn(async move { client.request(post(id, Bytes::new())).await });
    }
    calls
}

async fn all_answered(calls: JoinSet<Result<Response<Body>, Error>>) {
    for response in calls.join_all().await {
        assert_eq!(response.unwrap().status(), 200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suspect_is_asked_and_one_that_answers_returns_with_its_calls_unharmed() {
    let monitor = LiveMonitor::start();
    let servers = Server::several(3).await;
    let client = client(&monitor, &servers);
    settled(&client, 3).await;
    monitor.watching(servers[1].address()).await;
    let mut events = client.events();
    for server in &servers {
        server.hold();
    }
    let calls = posts(&client, 3);
    servers[1].holds(1).await;
    monitor.say(servers[1].address(), Verdict::Suspect, Reason::SynStalled);
    comes_to(&mut events, &servers[1], Phase::Suspect).await;
    comes_to(&mut events, &servers[1], Phase::Ready).await;
    for server in &servers {
        server.release();
    }
    all_answered(calls).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_accepts_no_connection_and_is_heard_on_those_it_has_is_not_dead() {
    let monitor = LiveMonitor::start();
    let servers = [
        Server::with_streams(1000).await,
        Server::speaking(Speaks::http2(1000).pinging(Duration::from_millis(2))).await,
        Server::with_streams(1000).await,
    ];
    let client = client(&monitor, &servers);
    settled(&client, 3).await;
    monitor.watching(servers[1].address()).await;
    let mut events = client.events();
    servers[1].be_full().await;
    servers[1].hold();
    let calls = posts(&client, 3);
    servers[1].holds(1).await;
    for _ in 0..3 {
        monitor.say(servers[1].address(), Verdict::Suspect, Reason::SynStalled);
        comes_to(&mut events, &servers[1], Phase::Suspect).await;
        let next = events.recv().await.unwrap();
        assert_eq!((next.peer, next.to), (servers[1].address(), Phase::Ready), "{next:?}");
    }
    servers[1].release();
    all_answered(calls).await;
}

/// Which calls the servers were sent, each as often as it was.
fn sent(servers: &[Server]) -> Vec<u64> {
    let mut ids: Vec<_> = servers.iter().flat_map(Server::ids).collect();
    ids.sort_unstable();
    ids
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_on_a_suspect_is_hedged_at_once_and_only_once_if_it_may_be_repeated() {
    let monitor = LiveMonitor::start();
    let servers = Server::several(3).await;
    let client = Client::builder("http://pods.test")
        .feed(monitor.feed())
        .endpoints(servers.iter().map(Server::address))
        .hedge_after(Duration::from_secs(3600))
        .build()
        .unwrap();
    settled(&client, 3).await;
    monitor.watching(servers[0].address()).await;
    let mut events = client.events();
    for server in &servers {
        server.hold();
    }
    // One of either kind on each server.
    let once = posts(&client, 3);
    for server in &servers {
        server.holds(1).await;
    }
    let mut repeatable = JoinSet::new();
    for id in 10..13 {
        let client = client.clone();
        let mut request = post(id, Bytes::new());
        request.extensions_mut().insert(Idempotent(true));
        repeatable.spawn(async move { client.request(request).await });
    }
    for server in &servers {
        server.holds(2).await;
    }
    assert_eq!(sent(&servers), [0, 1, 2, 10, 11, 12]);
    let on_the_suspect = *servers[0].ids().last().unwrap();

    monitor.say(servers[0].address(), Verdict::Suspect, Reason::SynStalled);
    comes_to(&mut events, &servers[0], Phase::Suspect).await;
    let hedged = async {
        while sent(&servers).len() < 7 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let hedged = tokio::time::timeout(Duration::from_secs(30), hedged).await;
    assert!(hedged.is_ok(), "no call was hedged");
    comes_to(&mut events, &servers[0], Phase::Ready).await;

    monitor.say(servers[0].address(), Verdict::Suspect, Reason::SynStalled);
    comes_to(&mut events, &servers[0], Phase::Suspect).await;
    comes_to(&mut events, &servers[0], Phase::Ready).await;
    // Whoever was sent a call answers it, but for the suspect.
    servers[1].release();
    servers[2].release();
    all_answered(repeatable).await;
    servers[0].release();
    all_answered(once).await;
    let mut expected = vec![0, 1, 2, 10, 11, 12, on_the_suspect];
    expected.sort_unstable();
    assert_eq!(sent(&servers), expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_closed_its_listener_answers_what_it_took() {
    let monitor = LiveMonitor::start();
    let servers = Server::several(2).await;
    let client = client(&monitor, &servers);
    settled(&client, 2).await;
    monitor.watching(servers[0].address()).await;
    let mut events = client.events();
    servers[0].hold();
    let calls = posts(&client, 2);
    servers[0].holds(1).await;
    monitor.say(servers[0].address(), Verdict::Dead, Reason::Refused);
    let evicted = comes_to(&mut events, &servers[0], Phase::Evicted).await;
    assert_eq!(evicted.cause.reason(), obit::Reason::Refused);
    servers[0].release();
    all_answered(calls).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_draining_endpoint_gets_no_new_calls_and_ends_its_old_ones() {
    let monitor = LiveMonitor::start();
    let servers = Server::several(2).await;
    let client = client(&monitor, &servers);
    settled(&client, 2).await;
    monitor.watching(servers[0].address()).await;
    let mut events = client.events();
    servers[0].hold();
    let calls = posts(&client, 2);
    servers[0].holds(1).await;
    monitor.say(servers[0].address(), Verdict::Draining, Reason::Unspecified);
    comes_to(&mut events, &servers[0], Phase::Draining).await;
    let before = servers[0].processed();
    for id in 10..20 {
        assert_eq!(client.request(post(id, Bytes::new())).await.unwrap().status(), 200);
    }
    assert_eq!(servers[0].processed(), before);
    servers[0].release();
    all_answered(calls).await;
    monitor.say(servers[0].address(), Verdict::Alive, Reason::Handshake);
    comes_to(&mut events, &servers[0], Phase::Ready).await;
    monitor.say(servers[0].address(), Verdict::Draining, Reason::Unspecified);
    comes_to(&mut events, &servers[0], Phase::Draining).await;
    monitor.say(servers[0].address(), Verdict::Suspect, Reason::SynStalled);
    let asked = async {
        comes_to(&mut events, &servers[0], Phase::Suspect).await;
        comes_to(&mut events, &servers[0], Phase::Ready).await;
    };
    let asked = tokio::time::timeout(Duration::from_secs(20), asked).await;
    asked.expect("a draining endpoint that is suspected is asked");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_response_body_that_a_death_cuts_short_ends_with_the_obituary() {
    let monitor = LiveMonitor::start();
    let servers = Server::several(1).await;
    let client = client(&monitor, &servers);
    settled(&client, 1).await;
    monitor.watching(servers[0].address()).await;
    // More than HTTP/2's windows hold, so that it cannot be complete while nobody reads.
    let large = Bytes::from(vec![1; 8 << 20]);
    let mut body = client.request(post(1, large)).await.unwrap().into_body();
    body.frame().await.unwrap().unwrap();
    monitor.say(servers[0].address(), Verdict::Dead, Reason::Unreachable);
    let error = loop {
        match body.frame().await {
            Some(Ok(_)) => {}
            Some(Err(error)) => break error,
            None => panic!("a body cut short ended as if it were whole"),
        }
    };
    assert!(matches!(error, Error::PeerDead(_)), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_go_on_when_the_monitor_is_lost() {
    let monitor = LiveMonitor::start();
    let servers = Server::several(2).await;
    let client = client(&monitor, &servers);
    settled(&client, 2).await;
    drop(monitor);
    for id in 0..50 {
        assert_eq!(client.request(post(id, Bytes::new())).await.unwrap().status(), 200);
    }
    let mut events = client.events();
    servers[1].die().await;
    comes_to(&mut events, &servers[1], Phase::Evicted).await;
    for id in 50..60 {
        assert_eq!(client.request(post(id, Bytes::new())).await.unwrap().status(), 200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_waits_for_a_dial_that_nobody_answers() {
    let blackhole = Blackhole::open().await;
    let servers = Server::several(2).await;
    let endpoints = servers.iter().map(Server::address).chain([blackhole.address()]);
    let client = Client::builder("http://pods.test")
        .feed(obit::Feed::offline())
        .endpoints(endpoints)
        .build()
        .unwrap();
    let mut events = client.events();
    settled(&client, 2).await;
    for _ in 0..100 {
        client.request(get()).await.unwrap();
    }
    assert_eq!(servers.iter().map(Server::processed).sum::<usize>(), 100);
    // It was doubted after the learnt bound, and not after the dial's timeout of seconds.
    loop {
        let event = events.recv().await.unwrap();
        if event.peer == blackhole.address() && event.to == Phase::Evicted {
            assert_eq!(event.cause, Cause::Unanswered);
            break;
        }
    }
}
