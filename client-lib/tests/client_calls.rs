//! Calls of `obit::Client` against real HTTP/2 servers on loopback.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod client_support;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use client_support::{Server, client, get, post, settled};
use http_body_util::{BodyExt, Full};
use obit::{Error, Feed, Idempotent, Phase, Reason};
use tokio_test::{assert_pending, task};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_are_shared_out_in_turn() {
    let servers = Server::several(5).await;
    let client = client(&servers).build().unwrap();
    settled(&client, 5).await;
    for _ in 0..100 {
        assert_eq!(client.request(get()).await.unwrap().status(), 200);
    }
    let shares: Vec<_> = servers.iter().map(|server| server.processed()).collect();
    assert_eq!(shares, [20; 5]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_response_arrives_whole_and_frees_its_stream() {
    let servers = Server::several(1).await;
    let client = client(&servers).build().unwrap();
    let response = client.request(post(7, Bytes::from_static(b"hello"))).await.unwrap();
    assert_eq!(client.snapshot()[0].in_flight, 1);
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "hello");
    assert_eq!(client.snapshot()[0].in_flight, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idempotent_calls_in_flight_on_a_dying_server_fail_nowhere() {
    let servers = Server::several(5).await;
    let client = client(&servers).build().unwrap();
    settled(&client, 5).await;
    servers[2].hold();
    let calls: Vec<_> = (0..500)
        .map(|id| {
            let client = client.clone();
            let mut request = post(id, Bytes::new());
            request.extensions_mut().insert(Idempotent(true));
            tokio::spawn(async move { client.request(request).await })
        })
        .collect();
    servers[2].holds(100).await;
    servers[2].die().await;
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap().status(), 200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_may_not_be_repeated_fail_and_are_not_processed_twice() {
    let servers = Server::several(3).await;
    let client = client(&servers).build().unwrap();
    settled(&client, 3).await;
    servers[1].hold();
    let calls: Vec<_> = (0..90)
        .map(|id| {
            let client = client.clone();
            tokio::spawn(async move { client.request(post(id, Bytes::new())).await })
        })
        .collect();
    servers[1].holds(30).await;
    servers[1].die().await;
    let mut failed = 0;
    for call in calls {
        match call.await.unwrap() {
            Ok(response) => assert_eq!(response.status(), 200),
            Err(Error::Connection { peer, .. }) => {
                assert_eq!(peer, servers[1].address());
                failed += 1;
            }
            Err(other) => panic!("{other:?}"),
        }
    }
    assert_eq!(failed, 30);
    let mut seen: HashMap<u64, u32> = HashMap::new();
    for id in servers.iter().flat_map(|server| server.ids()) {
        *seen.entry(id).or_default() += 1;
    }
    assert!(seen.values().all(|times| *times == 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_beyond_the_peers_stream_limit_waits_its_turn() {
    let server = Server::with_streams(10).await;
    let client = client(std::slice::from_ref(&server)).build().unwrap();
    let calls: Vec<_> = (0..100)
        .map(|id| {
            let client = client.clone();
            tokio::spawn(async move {
                client
                    .request(post(id, Bytes::new()))
                    .await
                    .map(|response| response.status())
            })
        })
        .collect();
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap(), 200);
    }
    assert!(server.most_at_once() <= 10);
    assert_eq!(server.processed(), 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_turns_calls_away_and_a_deadline_ends_the_wait() {
    let server = Server::with_streams(1).await;
    server.hold();
    let client = client(std::slice::from_ref(&server))
        .queue(1, Duration::from_millis(50))
        .build()
        .unwrap();
    settled(&client, 1).await;
    let in_flight = tokio::spawn({
        let client = client.clone();
        async move { client.request(get()).await.map(drop) }
    });
    server.holds(1).await;
    // Polled by hand: it keeps its place until it is polled again, however long this thread is kept from running.
    let mut waiting = task::spawn(client.request(get()));
    assert_pending!(waiting.poll());
    assert_eq!(client.waiting(), 1);
    assert!(matches!(
        client.request(get()).await,
        Err(Error::Overloaded {
            waiting: 2,
            waited: Duration::ZERO
        })
    ));
    assert!(matches!(waiting.await, Err(Error::Overloaded { waiting: 1, waited }) if !waited.is_zero()));
    server.release();
    in_flight.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_refuses_is_evicted_and_comes_back_when_it_listens() {
    let servers = Server::several(2).await;
    let client = client(&servers).build().unwrap();
    settled(&client, 2).await;
    let mut events = client.events();
    let address = servers[0].address();
    servers[0].die().await;
    loop {
        let event = events.recv().await.unwrap();
        assert_eq!(event.peer, address);
        if event.to == Phase::Evicted && event.cause.reason() == Reason::Refused {
            break;
        }
    }
    for _ in 0..20 {
        assert_eq!(client.request(get()).await.unwrap().status(), 200);
    }
    assert_eq!(servers[1].processed(), 20);
    let _reborn = Server::at(address).await;
    settled(&client, 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_all_are_dead_all_are_tried_and_the_call_says_what_it_met() {
    let servers = Server::several(2).await;
    let client = client(&servers).queue(10, Duration::from_millis(300)).build().unwrap();
    settled(&client, 2).await;
    let mut events = client.events();
    for server in &servers {
        server.die().await;
    }
    let error = client.request(get()).await.unwrap_err();
    assert!(matches!(error, Error::NoEndpoint { last: Some(_), .. }), "{error:?}");
    let mut probed = std::collections::HashSet::<SocketAddr>::new();
    while let Ok(event) = events.try_recv() {
        if event.to == Phase::Probation {
            probed.insert(event.peer);
        }
    }
    assert_eq!(probed.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_waits_for_a_service_that_is_just_starting() {
    let servers = Server::several(1).await;
    let address = servers[0].address();
    servers[0].die().await;
    let client = obit::Client::builder("http://starting")
        .feed(Feed::offline())
        .endpoints([address])
        .build()
        .unwrap();
    let mut events = client.events();
    let call = tokio::spawn({
        let client = client.clone();
        async move { client.request(get()).await }
    });
    while events.recv().await.unwrap().to != Phase::Evicted {}
    let _reborn = Server::at(address).await;
    assert_eq!(call.await.unwrap().unwrap().status(), 200);
}

#[tokio::test]
async fn the_last_handle_ends_every_connection() {
    let servers = Server::several(1).await;
    let client = client(&servers).build().unwrap();
    client
        .request(get())
        .await
        .unwrap()
        .into_body()
        .collect()
        .await
        .unwrap();
    drop(client);
    servers[0].deserted().await;
}

#[tokio::test]
async fn a_request_body_of_unknown_length_arrives_whole() {
    let servers = Server::several(1).await;
    let client = client(&servers).build().unwrap();
    let (chunks, stream) = tokio::sync::mpsc::channel::<Bytes>(1);
    let body = http_body_util::StreamBody::new(futures_util::stream::unfold(stream, |mut stream| async move {
        let chunk = stream.recv().await?;
        Some((Ok::<_, std::io::Error>(http_body::Frame::data(chunk)), stream))
    }));
    let request = http::Request::post("/").body(body).unwrap();
    let call = tokio::spawn({
        let client = client.clone();
        async move {
            client
                .request(request)
                .await
                .unwrap()
                .into_body()
                .collect()
                .await
                .unwrap()
                .to_bytes()
        }
    });
    for chunk in ["one ", "two ", "three"] {
        chunks.send(Bytes::from_static(chunk.as_bytes())).await.unwrap();
    }
    drop(chunks);
    assert_eq!(call.await.unwrap(), "one two three");
}

#[tokio::test]
async fn a_large_response_arrives_whole() {
    let servers = Server::several(1).await;
    let client = client(&servers).build().unwrap();
    let sent = Bytes::from(vec![42; 3 << 20]);
    let response = client
        .request(http::Request::post("/").body(Full::new(sent.clone())).unwrap())
        .await
        .unwrap();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), sent);
}
