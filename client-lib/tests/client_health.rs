//! Endpoints that are up and answer badly: outliers, and those that fail their health check. Real servers.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod client_support;

use std::net::SocketAddr;
use std::time::Duration;

use client_support::{HEALTH_PATH, Server, client, get, settled};
use obit::{Cause, Client, Feed, HealthCheck, OutlierDetection, Phase, Protocol};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic_health::ServingStatus;

/// Fails every call after its first.
const ALWAYS: usize = usize::MAX;

fn detection() -> OutlierDetection {
    let mut detection = OutlierDetection::default();
    detection.success_rate_deviations = None;
    detection
}

async fn calls(client: &Client, calls: usize) -> usize {
    let mut good = 0;
    for _ in 0..calls {
        good += usize::from(client.request(get()).await.unwrap().status() == 200);
    }
    good
}

fn phase(client: &Client, peer: SocketAddr) -> (Phase, Cause) {
    let statuses = client.snapshot();
    let status = statuses.iter().find(|status| status.peer == peer);
    // It may not have joined yet.
    status.map_or((Phase::Idle, Cause::Resolved), |status| (status.phase, status.cause))
}

/// Waits until the endpoint is in `wanted`.
async fn comes_to(client: &Client, peer: SocketAddr, wanted: Phase) -> Cause {
    let mut events = client.events();
    loop {
        let (phase, cause) = phase(client, peer);
        if phase == wanted {
            return cause;
        }
        let _ = events.recv().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_fails_call_after_call_is_out_for_a_time_and_comes_back() {
    let servers = Server::several(4).await;
    let mut detection = detection();
    detection.base_ejection = Duration::from_millis(300);
    let client = client(&servers).outlier_detection(detection).build().unwrap();
    settled(&client, 4).await;
    calls(&client, 8).await;
    servers[0].fail_all_but_each(ALWAYS);
    while phase(&client, servers[0].address()).0 != Phase::Ejected {
        calls(&client, 1).await;
    }
    assert_eq!(phase(&client, servers[0].address()), (Phase::Ejected, Cause::Outlier));
    let failed = servers[0].processed() - 2;
    // Five, and one or two that were on their way.
    assert!((5..=6).contains(&failed), "{failed}");
    assert_eq!(calls(&client, 30).await, 30);

    servers[0].fail_all_but_each(0);
    assert_eq!(
        comes_to(&client, servers[0].address(), Phase::Ready).await,
        Cause::Readmitted
    );
    let before = servers[0].processed();
    calls(&client, 8).await;
    assert_eq!(servers[0].processed(), before + 2);
    assert_eq!(servers[0].connected(), 1, "its connection stayed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_are_ejected_than_allowed() {
    let servers = Server::several(5).await;
    let mut detection = detection();
    detection.max_ejected = 0.4;
    let client = client(&servers).outlier_detection(detection).build().unwrap();
    settled(&client, 5).await;
    for server in &servers {
        server.fail_all_but_each(ALWAYS);
    }
    calls(&client, 200).await;
    let ejected = client.snapshot().iter().filter(|it| it.phase == Phase::Ejected).count();
    assert_eq!(ejected, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_fails_more_often_than_the_others_is_found_by_comparison() {
    let servers = Server::several(6).await;
    let mut detection = OutlierDetection::default();
    detection.interval = Duration::from_millis(200);
    detection.min_calls = 10;
    let client = client(&servers).outlier_detection(detection).build().unwrap();
    settled(&client, 6).await;
    // Never five in a row.
    servers[2].fail_all_but_each(2);
    while phase(&client, servers[2].address()).0 != Phase::Ejected {
        calls(&client, 60).await;
    }
    let statuses = client.snapshot();
    assert_eq!(statuses.iter().filter(|it| it.phase == Phase::Ready).count(), 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_says_that_it_is_not_well_is_out_until_it_says_otherwise() {
    for protocol in [Protocol::Http2, Protocol::Http1] {
        let mut servers = Vec::new();
        for _ in 0..3 {
            servers.push(match protocol {
                Protocol::Http1 => Server::speaking(client_support::Speaks::http1()).await,
                _ => Server::at("127.0.0.1:0".parse().unwrap()).await,
            });
        }
        // The first answer counts at once.
        servers[1].say_well(false);
        let client = client(&servers)
            .protocol(protocol)
            .health_check(HealthCheck::http(HEALTH_PATH).every(Duration::from_millis(20)))
            .build()
            .unwrap();
        assert_eq!(
            comes_to(&client, servers[1].address(), Phase::Ejected).await,
            Cause::Unwell
        );
        settled(&client, 2).await;
        let before = servers[1].processed();
        assert_eq!(calls(&client, 20).await, 20);
        assert_eq!(servers[1].processed(), before);

        servers[1].say_well(true);
        assert_eq!(
            comes_to(&client, servers[1].address(), Phase::Ready).await,
            Cause::Readmitted
        );
        servers[0].say_well(false);
        comes_to(&client, servers[0].address(), Phase::Ejected).await;

        // All are unwell: below the panic floor they serve.
        servers.iter().for_each(|server| server.say_well(false));
        for server in &servers {
            comes_to(&client, server.address(), Phase::Ejected).await;
        }
        assert_eq!(calls(&client, 6).await, 6);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grpc_servers_are_asked_by_their_own_protocol() {
    let (reporter, service) = tonic_health::server::health_reporter();
    reporter.set_service_status("shop", ServingStatus::Serving).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tonic::transport::Server::builder().add_service(service);
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    let build = |check: HealthCheck| {
        let builder = Client::builder("http://pods.test").feed(Feed::offline());
        let check = check.every(Duration::from_millis(20));
        builder.endpoints([address]).health_check(check).build().unwrap()
    };
    let client = build(HealthCheck::grpc("shop"));
    comes_to(&client, address, Phase::Ready).await;
    reporter.set_service_status("shop", ServingStatus::NotServing).await;
    assert_eq!(comes_to(&client, address, Phase::Ejected).await, Cause::Unwell);
    reporter.set_service_status("shop", ServingStatus::Serving).await;
    comes_to(&client, address, Phase::Ready).await;
    // A service the server does not know is not well either.
    comes_to(&build(HealthCheck::grpc("nobody")), address, Phase::Ejected).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_answer_its_check_in_time_is_out() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    // Greets, and then says nothing.
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut connection = h2::server::handshake(stream).await.unwrap();
        let mut kept = Vec::new();
        while let Some(request) = connection.accept().await {
            kept.push(request);
        }
    });
    let check = HealthCheck::http("/").timeout(Duration::from_millis(50));
    let client = Client::builder("http://pods.test")
        .feed(Feed::offline())
        .endpoints([address])
        .health_check(check)
        .build()
        .unwrap();
    assert_eq!(comes_to(&client, address, Phase::Ejected).await, Cause::Unwell);
}
