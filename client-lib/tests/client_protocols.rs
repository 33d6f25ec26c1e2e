//! HTTP/1.1 and TLS, several connections to an endpoint, and connections that grow old, with real servers.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod client_support;

use std::time::Duration;

use bytes::Bytes;
use client_support::{CALL_ID, Server, Speaks, client, get, post, settled};
use http::{Request, Version};
use http_body_util::{BodyExt, Full};
use obit::{Client, Error, Idempotent, Phase, Protocol};
use tokio::task::JoinHandle;

fn http1(servers: &[Server]) -> obit::ClientBuilder {
    client(servers).protocol(Protocol::Http1)
}

async fn several_of_http1(count: usize) -> Vec<Server> {
    let mut servers = Vec::new();
    for _ in 0..count {
        servers.push(Server::speaking(Speaks::http1()).await);
    }
    servers
}

/// So many calls at once; all must succeed.
async fn burst(client: &Client, calls: u64) {
    let call = |id: u64| {
        let client = client.clone();
        tokio::spawn(async move {
            let body = Bytes::from(id.to_string());
            let mut request = post(id, body.clone());
            request.extensions_mut().insert(Idempotent(true));
            let response = client.request(request).await.unwrap();
            assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), body);
        })
    };
    for call in (0..calls).map(call).collect::<Vec<_>>() {
        call.await.unwrap();
    }
}

/// The same, and no server answers for now.
fn held_burst(client: &Client, servers: &[Server], calls: u64) -> JoinHandle<()> {
    servers.iter().for_each(Server::hold);
    let client = client.clone();
    tokio::spawn(async move { burst(&client, calls).await })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http1_calls_go_over_connections_that_are_kept_and_no_more_than_allowed() {
    let servers = several_of_http1(2).await;
    let client = http1(&servers).http1_connections_per_endpoint(4).build().unwrap();
    settled(&client, 2).await;
    for _ in 0..10 {
        let response = client.request(get()).await.unwrap();
        assert_eq!(
            (response.status().as_u16(), response.version()),
            (200, Version::HTTP_11)
        );
    }
    assert_eq!(servers.iter().map(Server::connected).collect::<Vec<_>>(), [1, 1]);

    let calls = held_burst(&client, &servers, 40);
    for server in &servers {
        server.holds(4).await;
    }
    let (waiting, statuses) = (client.waiting(), client.snapshot());
    for server in &servers {
        assert_eq!((server.connected(), server.most_at_once()), (4, 4));
        server.release();
    }
    assert_eq!(waiting, 32);
    assert!(
        statuses
            .iter()
            .all(|status| (status.connections, status.in_flight) == (4, 4))
    );
    calls.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_opens_about_as_many_http1_connections_as_it_has_calls() {
    let servers = several_of_http1(3).await;
    let client = http1(&servers).build().unwrap();
    settled(&client, 3).await;
    let calls = held_burst(&client, &servers, 60);
    while servers.iter().map(Server::most_at_once).sum::<usize>() < 60 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let connections: Vec<_> = servers.iter().map(Server::connected).collect();
    servers.iter().for_each(Server::release);
    calls.await.unwrap();
    assert!(connections.iter().sum::<usize>() <= 90, "{connections:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_http1_server_that_dies_in_the_middle_of_calls_costs_no_idempotent_call() {
    let servers = several_of_http1(3).await;
    let client = http1(&servers).build().unwrap();
    settled(&client, 3).await;
    let calls = held_burst(&client, &servers, 60);
    servers[0].holds(5).await;
    servers[0].die().await;
    servers.iter().for_each(Server::release);
    calls.await.unwrap();
    settled(&client, 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_http1_call_that_may_have_been_processed_is_not_repeated() {
    let servers = several_of_http1(2).await;
    let client = http1(&servers).build().unwrap();
    settled(&client, 2).await;
    servers.iter().for_each(Server::hold);
    let call = tokio::spawn({
        let client = client.clone();
        async move { client.request(post(7, Bytes::from_static(b"once"))).await }
    });
    let victim = loop {
        match servers.iter().find(|server| !server.ids().is_empty()) {
            Some(server) => break server,
            None => tokio::task::yield_now().await,
        }
    };
    victim.holds(1).await;
    victim.die().await;
    let error = call.await.unwrap().unwrap_err();
    assert!(matches!(error, Error::Connection { .. }), "{error:?}");
    assert_eq!(servers.iter().map(|server| server.ids().len()).sum::<usize>(), 1);
}

/// The server closes every connection it has between two calls, again and again: a call sent into the closing goes
/// elsewhere, and none is processed twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http1_connections_that_the_server_closes_when_idle_cost_no_call() {
    let servers = several_of_http1(2).await;
    let client = http1(&servers).build().unwrap();
    settled(&client, 2).await;
    let mut victims = servers.iter().cycle();
    for id in 0..300 {
        if id % 3 == 0 {
            victims.next().unwrap().drain();
        }
        let mut request = post(id, Bytes::from_static(b"x"));
        request.extensions_mut().insert(Idempotent(true));
        assert_eq!(client.request(request).await.unwrap().status(), 200);
    }
    let mut ids: Vec<_> = servers.iter().flat_map(Server::ids).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids, (0..300).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_given_up_ends_its_http1_connection_and_no_other_call() {
    let servers = several_of_http1(1).await;
    let client = http1(&servers).build().unwrap();
    settled(&client, 1).await;
    servers[0].hold();
    let call = tokio::spawn({
        let client = client.clone();
        async move { client.request(get()).await.map(drop) }
    });
    servers[0].holds(1).await;
    call.abort();
    servers[0].welcomed(2).await;
    servers[0].release();
    assert_eq!(client.request(get()).await.unwrap().status(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_http2_connections_to_an_endpoint_share_its_calls() {
    let servers = [Server::with_streams(10).await];
    let client = client(&servers).connections_per_endpoint(3).build().unwrap();
    servers[0].has(3).await;
    while client.snapshot()[0].connections < 3 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let calls = held_burst(&client, &servers, 40);
    // Ten streams on each of three connections; the others wait.
    servers[0].holds(30).await;
    assert_eq!((client.waiting(), client.snapshot()[0].in_flight), (10, 30));
    servers[0].release();
    calls.await.unwrap();

    servers[0].drain();
    servers[0].welcomed(6).await;
    burst(&client, 40).await;
    servers[0].die().await;
    let mut events = client.events();
    while client.snapshot()[0].phase != Phase::Evicted {
        let _ = events.recv().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_connections_are_replaced_before_they_are_given_up_and_no_call_notices() {
    let servers = Server::several(2).await;
    let age = Duration::from_millis(100);
    let client = client(&servers).max_connection_age(age).build().unwrap();
    settled(&client, 2).await;
    let mut events = client.events();
    let mut replaced = 0;
    let mut id = 0;
    while replaced < 6 {
        burst(&client, 10).await;
        id += 10;
        while let Ok(event) = events.try_recv() {
            assert_eq!((event.from, event.to), (Phase::Ready, Phase::Ready), "{event:?}");
            replaced += 1;
        }
    }
    assert_eq!(servers.iter().map(Server::processed).sum::<usize>(), id);
    // The old ones have gone.
    for server in &servers {
        while server.connected() > 1 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

#[tokio::test]
async fn the_host_is_the_origins_and_the_target_a_path() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let client = Client::builder("http://shop.test:8080")
        .feed(obit::Feed::offline())
        .endpoints([address])
        .protocol(Protocol::Http1)
        .build()
        .unwrap();
    let call = tokio::spawn(async move {
        let request = Request::get("/cart?id=7")
            .header(CALL_ID, 1)
            .body(Full::<Bytes>::default());
        client.request(request.unwrap()).await.map(|response| response.status())
    });
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut seen = Vec::new();
    while !seen.ends_with(b"\r\n\r\n") {
        assert_ne!(
            tokio::io::AsyncReadExt::read_buf(&mut stream, &mut seen).await.unwrap(),
            0
        );
    }
    let seen = String::from_utf8(seen).unwrap();
    assert!(seen.starts_with("GET /cart?id=7 HTTP/1.1\r\n"), "{seen}");
    assert!(seen.contains("host: shop.test:8080\r\n"), "{seen}");
    let answer = b"HTTP/1.1 204 No Content\r\n\r\n";
    tokio::io::AsyncWriteExt::write_all(&mut stream, answer).await.unwrap();
    assert_eq!(call.await.unwrap().unwrap(), 204);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_nobody_calls_closes_its_connections_and_opens_them_with_the_next_call() {
    let servers = Server::several(3).await;
    let client = client(&servers)
        .idle_timeout(Duration::from_millis(200))
        .build()
        .unwrap();
    client.warmed_up(3).await;
    // What is in flight is use.
    servers.iter().for_each(Server::hold);
    let call = tokio::spawn({
        let client = client.clone();
        async move { client.request(get()).await.map(|response| response.status()) }
    });
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(servers.iter().all(|server| server.connected() == 1));
    servers.iter().for_each(Server::release);
    assert_eq!(call.await.unwrap().unwrap(), 200);

    for server in &servers {
        server.deserted().await;
    }
    assert!(client.snapshot().iter().all(|status| status.phase == Phase::Idle));
    assert_eq!(client.request(get()).await.unwrap().status(), 200);
    client.warmed_up(3).await;
}
