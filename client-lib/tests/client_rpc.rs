//! `obit::Client` inside tonic and connectrpc.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod client_support;
mod support;

use bytes::Bytes;
use client_support::settled;
use connectrpc::client::{ClientTransport, ServiceTransport};
use http_body_util::{BodyExt, Full};
use obit::{Client, Error, Feed};
use obit_protocol::{Reason, Verdict};
use support::{LiveMonitor, Server};
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic_prost::ProstCodec;

/// A unary call as tonic's generated clients make it: without scheme and authority.
async fn unary(client: Client, path: &'static str) -> Result<String, tonic::Status> {
    let mut grpc = Grpc::new(client);
    grpc.ready()
        .await
        .map_err(|error| tonic::Status::unknown(error.to_string()))?;
    let request = tonic::Request::new(String::from("hello"));
    let answer = grpc
        .unary(
            request,
            PathAndQuery::from_static(path),
            ProstCodec::<String, String>::default(),
        )
        .await;
    answer.map(tonic::Response::into_inner)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tonic_calls_through_it() {
    let server = Server::start().await;
    let client = Client::builder("http://greeter.test")
        .feed(Feed::offline())
        .endpoints([server.address])
        .build()
        .unwrap();
    assert_eq!(unary(client, "/demo.v1.Demo/Say").await.unwrap(), "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tonic_hears_of_a_death_as_unavailable_with_the_reason() {
    let monitor = LiveMonitor::start();
    let server = Server::start().await;
    let client = Client::builder("http://greeter.test")
        .feed(monitor.feed())
        .endpoints([server.address])
        .build()
        .unwrap();
    settled(&client, 1).await;
    monitor.watching(server.address).await;
    let call = tokio::spawn(unary(client.clone(), "/hang"));
    server.requests(1).await;
    monitor.say(server.address, Verdict::Dead, Reason::Unreachable);
    let status = call.await.unwrap().unwrap_err();
    assert_eq!(status.code(), tonic::Code::Unavailable, "{status:?}");
    assert!(status.message().contains("no route to host"), "{status:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grpc_stream_that_a_death_cuts_ends_as_unavailable() {
    let monitor = LiveMonitor::start();
    let server = Server::start().await;
    let client = Client::builder("http://greeter.test")
        .feed(monitor.feed())
        .endpoints([server.address])
        .build()
        .unwrap();
    settled(&client, 1).await;
    monitor.watching(server.address).await;
    let mut grpc = Grpc::new(client.clone());
    let path = PathAndQuery::from_static("/stream");
    let request = tonic::Request::new(String::new());
    let mut stream = grpc
        .server_streaming(request, path, ProstCodec::<String, String>::default())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(stream.message().await.unwrap().unwrap(), "");
    monitor.say(server.address, Verdict::Dead, Reason::Unreachable);
    let status = stream.message().await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::Unavailable, "{status:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connectrpc_calls_through_it_and_finds_our_error_as_it_is() {
    let server = client_support::Server::several(1).await.pop().unwrap();
    let client = Client::builder("http://greeter.test")
        .feed(Feed::offline())
        .endpoints([server.address()])
        .queue(10, std::time::Duration::from_millis(100))
        .build()
        .unwrap();
    let transport = ServiceTransport::new(client);
    let request = || {
        let body = Full::new(Bytes::from_static(b"hello"))
            .map_err(|never| match never {})
            .boxed();
        http::Request::post("/demo.v1.Demo/Say")
            .header("content-type", "application/proto")
            .body(body)
            .unwrap()
    };
    let response = transport.send(request()).await.unwrap();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "hello");
    server.die().await;
    let error: Error = transport.send(request()).await.unwrap_err();
    assert!(
        matches!(error, Error::NoEndpoint { .. } | Error::Connection { .. }),
        "{error:?}"
    );
}
