//! The connector under the clients of others, against real servers: a death ends what is in flight at once, and the next
//! call dials anew.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use connectrpc::client::{ClientTransport, Http2Connection, full_body};
use http::{Request, Uri};
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use obit::connection::{ConnectionHandle, DialOptions, KillSwitch};
use obit::connector::{Connector, ConnectorError};
use obit::{PeerDead, Reason};
use obit_protocol::{Reason as WireReason, Verdict as WireVerdict};
use support::{Blackhole, LiveMonitor, Server};
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};
use tonic_prost::ProstCodec;
use tower::ServiceExt;

fn uri(address: SocketAddr, path: &str) -> Uri {
    format!("http://{address}{path}").parse().unwrap()
}

fn get(address: SocketAddr, path: &str) -> Request<Empty<Bytes>> {
    Request::get(uri(address, path)).body(Empty::new()).unwrap()
}

async fn unary(channel: &Channel, path: &'static str) -> Result<tonic::Response<()>, tonic::Status> {
    let mut grpc = Grpc::new(channel.clone());
    grpc.ready().await.unwrap();
    let path = http::uri::PathAndQuery::from_static(path);
    grpc.unary(tonic::Request::new(()), path, ProstCodec::<(), ()>::default())
        .await
}

#[tokio::test]
async fn tonic_s_calls_in_flight_end_with_the_peer_and_the_next_call_redials() {
    let (monitor, server) = (LiveMonitor::start(), Server::start().await);
    let endpoint = Endpoint::from_shared(format!("http://{}", server.address)).unwrap();
    let channel = endpoint.connect_with_connector_lazy(obit::connector().with_feed(monitor.feed()));
    unary(&channel, "/any/Call").await.unwrap();

    let hanging: Vec<_> = (0..50)
        .map(|_| {
            let channel = channel.clone();
            tokio::spawn(async move { unary(&channel, "/hang").await })
        })
        .collect();
    server.requests(51).await;
    monitor.watching(server.address).await;
    monitor.say(server.address, WireVerdict::Dead, WireReason::Unreachable);
    for call in hanging {
        assert_eq!(call.await.unwrap().unwrap_err().code(), tonic::Code::Unknown);
    }

    unary(&channel, "/any/Call").await.unwrap();
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn hyper_s_pooled_client_loses_its_calls_and_its_connection_and_dials_anew() {
    let (monitor, server) = (LiveMonitor::start(), Server::start().await);
    let connector = obit::connector().with_feed(monitor.feed());
    let client = Client::builder(TokioExecutor::new()).build::<_, Empty<Bytes>>(connector);
    let response = client.request(get(server.address, "/")).await.unwrap();
    let handle = response.extensions().get::<ConnectionHandle>().unwrap().clone();
    assert!(response.extensions().get::<KillSwitch>().is_some());
    assert_eq!(handle.peer(), server.address);
    response.into_body().collect().await.unwrap();

    let streaming = client.request(get(server.address, "/stream")).await.unwrap();
    let hanging = tokio::spawn(client.request(get(server.address, "/hang")));
    server.requests(3).await;
    monitor.watching(server.address).await;
    monitor.say(server.address, WireVerdict::Dead, WireReason::Unreachable);
    let error = hanging.await.unwrap().unwrap_err();
    // HTTP/1 keeps the type of an I/O error.
    assert_eq!(
        PeerDead::find(&error).map(|dead| dead.reason),
        Some(Reason::Unreachable)
    );
    assert!(streaming.into_body().collect().await.is_err());

    let before = server.connections();
    client.request(get(server.address, "/")).await.unwrap();
    assert_eq!(server.connections(), before + 1);
}

#[tokio::test]
async fn connectrpc_s_transport_ends_with_the_peer_and_reconnects() {
    let (monitor, server) = (LiveMonitor::start(), Server::start().await);
    let connector = obit::connector().with_feed(monitor.feed());
    let transport = Http2Connection::lazy_with_connector(connector, uri(server.address, "")).shared(64);
    let send = |path: &str| {
        let request = Request::post(uri(server.address, path));
        transport.send(request.body(full_body(Bytes::new())).unwrap())
    };
    send("/any").await.unwrap();
    let hanging = tokio::spawn(send("/hang"));
    server.requests(2).await;
    monitor.watching(server.address).await;
    monitor.say(server.address, WireVerdict::Dead, WireReason::Unreachable);
    hanging.await.unwrap().unwrap_err();
    send("/any").await.unwrap();
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn a_dial_that_nobody_answers_ends_with_the_obituary() {
    let (monitor, hole) = (LiveMonitor::start(), Blackhole::open().await);
    let connector = obit::connector().with_feed(monitor.feed());
    let dialling = tokio::spawn(connector.oneshot(uri(hole.address(), "")));
    monitor.watching(hole.address()).await;
    monitor.say(hole.address(), WireVerdict::Dead, WireReason::SynStalled);
    let error = dialling.await.unwrap().unwrap_err();
    assert_eq!(PeerDead::find(&error).map(|dead| dead.reason), Some(Reason::SynStalled));
}

#[tokio::test]
async fn a_wrapped_connector_s_connections_and_dials_end_with_the_peer() {
    let (monitor, server, hole) = (LiveMonitor::start(), Server::start().await, Blackhole::open().await);
    let mut http = HttpConnector::new();
    http.set_nodelay(true);
    let connector = Connector::wrap(http).with_feed(monitor.feed());
    let client = Client::builder(TokioExecutor::new()).build::<_, Empty<Bytes>>(connector);
    client.request(get(server.address, "/")).await.unwrap();
    for (address, path) in [(server.address, "/hang"), (hole.address(), "/")] {
        let hanging = tokio::spawn(client.request(get(address, path)));
        if address == server.address {
            server.requests(2).await;
        }
        monitor.watching(address).await;
        monitor.say(address, WireVerdict::Dead, WireReason::SynStalled);
        let error = hanging.await.unwrap().unwrap_err();
        assert_eq!(PeerDead::find(&error).map(|dead| dead.peer), Some(address));
    }
}

#[tokio::test]
async fn an_uri_without_a_host_and_a_name_without_an_address_are_named() {
    let connector = obit::connector().with_feed(obit::Feed::offline());
    let no_host = connector.clone().oneshot(Uri::from_static("/path")).await.unwrap_err();
    assert!(matches!(no_host, ConnectorError::NoHost { .. }));
    let unresolved = connector
        .oneshot(Uri::from_static("http://nowhere.invalid:80"))
        .await
        .unwrap_err();
    assert!(matches!(unresolved, ConnectorError::Resolve { .. }), "{unresolved}");
}

#[tokio::test]
async fn a_refused_dial_is_told_as_such() {
    let server = Server::start().await;
    let address = server.address;
    drop(server);
    let mut options = DialOptions::default();
    options.connect_timeout = Some(Duration::from_secs(1));
    let connector = obit::connector().with_feed(obit::Feed::offline()).with_options(options);
    tokio::time::timeout(Duration::from_secs(10), async {
        // The listener closes with its task, a moment after the drop.
        while connector.clone().oneshot(uri(address, "")).await.is_ok() {}
    })
    .await
    .unwrap();
    let error = connector.oneshot(uri(address, "")).await.unwrap_err();
    assert!(error.to_string().contains("refused"), "{error}");
}
