//! `obit::Client` and what may be sent again: drains, refusals, and peers that vanish without a word.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod client_support;

use std::collections::HashMap;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use client_support::{Server, client, get, post, settled};
use http_body_util::BodyExt as _;
use hyper::rt::Write as _;
use obit::connection::{self, DialOptions};
use obit::{Cause, Client, Error, Feed, Idempotent, Phase};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// With hyper's stock two tasks for a connection about one drain in two hundred told a request that was processed that
/// it was not. See `pool/driver.rs`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_fails_or_is_processed_twice_through_hundreds_of_drains() {
    const CALLS: u64 = 10_000;
    const AT_ONCE: u64 = 50;
    let servers = Arc::new(Server::several(3).await);
    let client = client(&servers).queue(8192, Duration::from_secs(60)).build().unwrap();
    settled(&client, 3).await;
    let next = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let drains = Arc::new(AtomicUsize::new(0));
    let workers: Vec<_> = (0..AT_ONCE)
        .map(|_| {
            let (client, next, servers, drains) = (client.clone(), next.clone(), servers.clone(), drains.clone());
            tokio::spawn(async move {
                loop {
                    let id = next.fetch_add(1, Ordering::SeqCst);
                    if id >= CALLS {
                        return;
                    }
                    // The drains come by the count of calls, not by the clock: always in the middle of traffic.
                    if id % 25 == 0 {
                        servers[usize::try_from(id / 25).unwrap() % servers.len()].drain();
                        drains.fetch_add(1, Ordering::SeqCst);
                    }
                    let response = client.request(post(id, Bytes::new())).await;
                    assert_eq!(
                        response.unwrap_or_else(|error| panic!("call {id}: {error:?}")).status(),
                        200
                    );
                }
            })
        })
        .collect();
    for worker in workers {
        worker.await.unwrap();
    }
    assert_eq!(drains.load(Ordering::SeqCst), 400);
    let mut processed: HashMap<u64, u32> = HashMap::new();
    for id in servers.iter().flat_map(|server| server.ids()) {
        *processed.entry(id).or_default() += 1;
    }
    assert_eq!(processed.len() as u64, CALLS);
    let twice: Vec<_> = processed.iter().filter(|(_, times)| **times != 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
}

/// A server that refuses every stream.
async fn refusing() -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let refused = Arc::new(AtomicUsize::new(0));
    tokio::spawn({
        let refused = refused.clone();
        async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let refused = refused.clone();
                tokio::spawn(async move {
                    let mut connection = h2::server::handshake(stream).await.unwrap();
                    while let Some(Ok((_, mut answer))) = connection.accept().await {
                        refused.fetch_add(1, Ordering::SeqCst);
                        answer.send_reset(h2::Reason::REFUSED_STREAM);
                    }
                });
            }
        }
    });
    (address, refused)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_stream_goes_elsewhere_whatever_the_method() {
    let server = Server::several(1).await.pop().unwrap();
    let (refuser, refused) = refusing().await;
    let client = Client::builder("http://pods.test")
        .feed(Feed::offline())
        .endpoints([server.address(), refuser])
        .build()
        .unwrap();
    settled(&client, 2).await;
    for id in 0..20 {
        assert_eq!(client.request(post(id, Bytes::new())).await.unwrap().status(), 200);
    }
    assert!(refused.load(Ordering::SeqCst) > 0);
    assert_eq!(server.processed(), 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_refuses_everything_is_not_hammered() {
    let (refuser, refused) = refusing().await;
    let client = Client::builder("http://pods.test")
        .feed(Feed::offline())
        .retry_budget(obit::RetryBudget {
            ratio: 0.0,
            per_second: 0.0,
        })
        .endpoints([refuser])
        .build()
        .unwrap();
    settled(&client, 1).await;
    let error = client.request(get()).await.unwrap_err();
    assert!(matches!(error, Error::Connection { .. }), "{error:?}");
    // Once by the call, once for free.
    assert_eq!(refused.load(Ordering::SeqCst), 2);
}

/// A server the first `leaving` connections of which end as soon as a call comes: with a GOAWAY that says it was not processed.
async fn sending_away(leaving: usize) -> SocketAddr {
    const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    // Of eight bytes: the last stream is 0, and so is the error.
    const GOAWAY: [u8; 17] = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    const PREFACE: usize = 24;
    const HEADERS: u8 = 1;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        for _ in 0..leaving {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(&SETTINGS).await.unwrap();
            stream.read_exact(&mut [0; PREFACE]).await.unwrap();
            let mut frame = [0; 9];
            while frame[3] != HEADERS {
                stream.read_exact(&mut frame).await.unwrap();
                let length = u32::from_be_bytes([0, frame[0], frame[1], frame[2]]);
                let mut payload = vec![0; length as usize];
                stream.read_exact(&mut payload).await.unwrap();
            }
            stream.write_all(&GOAWAY).await.unwrap();
            // What is left unread would make a reset of the end.
            let _ = stream.read_to_end(&mut Vec::new()).await;
        }
        let (stream, _) = listener.accept().await.unwrap();
        let mut connection = h2::server::handshake(stream).await.unwrap();
        while let Some(Ok((_, mut answer))) = connection.accept().await {
            answer.send_response(http::Response::new(()), true).unwrap();
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_servers_going_away_did_not_process_is_moved_outside_the_budget_each_time() {
    let client = Client::builder("http://pods.test")
        .feed(Feed::offline())
        .retry_budget(obit::RetryBudget {
            ratio: 0.0,
            per_second: 0.0,
        })
        .queue(1, Duration::from_secs(60))
        .endpoints([sending_away(3).await])
        .build()
        .unwrap();
    assert_eq!(client.request(post(1, Bytes::new())).await.unwrap().status(), 200);
}

/// What the next test stands on: were a single call still acknowledged after the node was lost, nothing would be owed for it.
#[tokio::test]
async fn a_server_that_vanished_acknowledges_nothing_more() {
    let server = Server::several(1).await.pop().unwrap();
    let dialled = connection::dial(&Feed::offline(), server.address(), &DialOptions::default()).await;
    let mut io = dialled.unwrap();
    server.has(1).await;
    server.vanish().await;
    let written = poll_fn(|cx| Pin::new(&mut io).poll_write(cx, b"anybody there?")).await;
    assert_eq!(written.unwrap(), 14);
    let probe = io.handle().probe();
    // A living kernel takes 48 ms at most.
    while probe.sample().unwrap().silence() < Some(Duration::from_millis(100)) {
        assert_eq!(probe.unacknowledged_bytes(), Some(14));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_vanishes_with_calls_in_flight_is_found_out_without_a_monitor() {
    let servers = Server::several(3).await;
    let client = client(&servers).build().unwrap();
    settled(&client, 3).await;
    // The network is known to be fast, so the confirming dial is given the least bound.
    let mut events = client.events();
    servers[1].hold();
    let calls: Vec<_> = (0..90)
        .map(|id| {
            let client = client.clone();
            let mut request = post(id, Bytes::new());
            request.extensions_mut().insert(Idempotent(true));
            tokio::spawn(async move { client.request(request).await })
        })
        .collect();
    servers[1].holds(30).await;
    servers[1].vanish().await;
    // Written into the void: what is owed from now on is never acknowledged.
    let unheard: Vec<_> = (100..103)
        .map(|id| {
            let client = client.clone();
            let mut request = post(id, Bytes::new());
            request.extensions_mut().insert(Idempotent(true));
            tokio::spawn(async move { client.request(request).await })
        })
        .collect();
    for call in calls.into_iter().chain(unheard) {
        assert_eq!(call.await.unwrap().unwrap().status(), 200);
    }
    loop {
        let event = events.recv().await.unwrap();
        if event.peer == servers[1].address() && event.to == Phase::Evicted {
            assert_eq!(event.cause, Cause::Silence);
            break;
        }
    }
}

/// Six calls, of which those with an even number may be repeated: two for each of three servers.
fn six(client: &Client, first: u64) -> Vec<tokio::task::JoinHandle<u16>> {
    (first..first + 6)
        .map(|id| {
            let client = client.clone();
            let mut request = post(id, Bytes::new());
            request.extensions_mut().insert(Idempotent(id % 2 == 0));
            tokio::spawn(async move { client.request(request).await.unwrap().status().as_u16() })
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_its_path_forgot_is_left_and_what_may_not_be_repeated_waits_for_it() {
    let servers = Server::several(3).await;
    let client = client(&servers).build().unwrap();
    settled(&client, 3).await;
    let mut events = client.events();
    for server in &servers {
        server.lose(true).await;
    }
    let lost = six(&client, 0);
    // Every server is dialled, and the dial is answered.
    let mut anew = std::collections::HashSet::new();
    while anew.len() < 3 {
        let event = events.recv().await.unwrap();
        assert_ne!(event.to, Phase::Evicted, "{event:?}");
        assert!(
            event.to != Phase::Connecting || event.cause == Cause::Stranded,
            "{event:?}"
        );
        if event.to == Phase::Ready {
            anew.insert(event.peer);
        }
    }
    let found = six(&client, 10);
    for call in found {
        assert_eq!(call.await.unwrap(), 200);
    }
    // What may be repeated was, and nothing of the rest was given up.
    let mut waiting = Vec::new();
    for (id, call) in (0..).zip(lost) {
        if id % 2 == 0 {
            assert_eq!(call.await.unwrap(), 200);
        } else {
            waiting.push(call);
        }
    }
    assert!(waiting.iter().all(|call| !call.is_finished()));
    for server in &servers {
        server.lose(false).await;
    }
    for call in waiting {
        assert_eq!(call.await.unwrap(), 200);
    }
    let mut once: Vec<_> = servers.iter().flat_map(Server::ids).filter(|id| id % 2 == 1).collect();
    once.sort_unstable();
    assert_eq!(once, [1, 3, 5, 11, 13, 15]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_server_is_not_taken_for_a_dead_one() {
    let servers = Server::several(1).await;
    let client = client(&servers).build().unwrap();
    settled(&client, 1).await;
    let mut events = client.events();
    servers[0].hold();
    let call = tokio::spawn({
        let client = client.clone();
        async move { client.request(post(1, Bytes::new())).await }
    });
    servers[0].holds(1).await;
    // Longer than the watchdog takes for a peer that is gone; its kernel has acknowledged the call, so nothing is owed.
    tokio::time::sleep(Duration::from_millis(300)).await;
    servers[0].release();
    assert_eq!(call.await.unwrap().unwrap().status(), 200);
    assert!(events.try_recv().is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_call_is_hedged_once_if_it_may_be_repeated_and_the_first_answer_wins() {
    let servers = Server::several(3).await;
    let client = client(&servers).hedge_after(Duration::from_millis(20)).build().unwrap();
    settled(&client, 3).await;
    servers[0].hold();
    // About every third is sent to the server that does not answer.
    for id in 0..9 {
        let mut request = post(id, Bytes::from_static(b"hedged"));
        request.extensions_mut().insert(Idempotent(true));
        let response = client.request(request).await.unwrap();
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "hedged");
    }
    let held = servers[0].ids().len();
    assert!((2..=5).contains(&held), "{held}");
    // The streams of those that lost were reset: nothing is in flight.
    while client.snapshot().iter().any(|status| status.in_flight > 0) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }

    // Of calls that may not be repeated none is sent twice, however slow.
    let calls: Vec<_> = (100..103)
        .map(|id| {
            let client = client.clone();
            tokio::spawn(async move { client.request(post(id, Bytes::new())).await })
        })
        .collect();
    servers[0].holds(held + 1).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    servers[0].release();
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap().status(), 200);
    }
    let mut once: Vec<_> = servers.iter().flat_map(Server::ids).filter(|id| *id >= 100).collect();
    once.sort_unstable();
    assert_eq!(once, [100, 101, 102]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hedges_are_paid_from_the_budget() {
    let servers = Server::several(2).await;
    let budget = obit::RetryBudget {
        ratio: 0.0,
        per_second: 0.3,
    };
    let client = client(&servers)
        .hedge_after(Duration::from_millis(5))
        .retry_budget(budget)
        .build()
        .unwrap();
    settled(&client, 2).await;
    servers.iter().for_each(Server::hold);
    let calls: Vec<_> = (0..40)
        .map(|id| {
            let client = client.clone();
            tokio::spawn(async move {
                let mut request = post(id, Bytes::new());
                request.extensions_mut().insert(Idempotent(true));
                client.request(request).await
            })
        })
        .collect();
    // All 40, and the three hedges that ten seconds' worth of tokens pay for.
    while servers.iter().map(|server| server.ids().len()).sum::<usize>() < 43 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(servers.iter().map(|server| server.ids().len()).sum::<usize>(), 43);
    servers.iter().for_each(Server::release);
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap().status(), 200);
    }
}
