//! Streams in both directions when their peer dies: client-, server- and bidirectional streaming, over plain HTTP and gRPC. A
//! verdict ends each with its reason, whoever waits for what.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod client_support;
mod support;

use std::convert::Infallible;
use std::net::SocketAddr;

use bytes::Bytes;
use client_support::settled;
use http::uri::PathAndQuery;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use obit::{Client, Error, Idempotent};
use obit_protocol::{Reason, Verdict};
use support::LiveMonitor;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tonic::client::Grpc;
use tonic_prost::ProstCodec;

/// Sends back what comes as it comes, or at `/collect` all of it in the end. Counts the requests that came.
async fn echo(
    request: Request<Incoming>,
    came: watch::Sender<usize>,
) -> Result<Response<UnsyncBoxBody<Bytes, hyper::Error>>, hyper::Error> {
    came.send_modify(|count| *count += 1);
    let kind = request.headers().get("content-type").cloned();
    let body = if request.uri().path() == "/collect" {
        let all = request.into_body().collect().await?.to_bytes();
        Full::new(all)
            .map_err(|never: Infallible| match never {})
            .boxed_unsync()
    } else {
        request.into_body().boxed_unsync()
    };
    let mut response = Response::new(body);
    if let Some(kind) = kind {
        response.headers_mut().insert("content-type", kind);
    }
    Ok(response)
}

/// A server, and how many requests came to it.
async fn serve() -> (SocketAddr, watch::Receiver<usize>) {
    let (counter, came) = watch::channel(0);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            stream.set_nodelay(true).unwrap();
            let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            let counter = counter.clone();
            let service = hyper::service::service_fn(move |request| echo(request, counter.clone()));
            tokio::spawn(builder.serve_connection(TokioIo::new(stream), service));
        }
    });
    (address, came)
}

/// Waits until so many requests came to the server: a body of which a chunk was taken need not have left this host, and what did
/// not leave goes to the next connection.
async fn have_come(came: &mut watch::Receiver<usize>, requests: usize) {
    came.wait_for(|count| *count >= requests).await.unwrap();
}

/// A client of one server that a monitor watches.
async fn watched() -> (LiveMonitor, SocketAddr, Client, watch::Receiver<usize>) {
    let monitor = LiveMonitor::start();
    let (server, came) = serve().await;
    let client = Client::builder("http://pods.test")
        .feed(monitor.feed())
        .endpoints([server])
        .build()
        .unwrap();
    settled(&client, 1).await;
    monitor.watching(server).await;
    (monitor, server, client, came)
}

type Chunks = mpsc::Sender<Result<Frame<Bytes>, Infallible>>;

/// A request whose body goes on, with a first chunk of it.
async fn going_on(
    path: &str,
) -> (
    Chunks,
    Request<StreamBody<ReceiverStream<Result<Frame<Bytes>, Infallible>>>>,
) {
    let (chunks, body) = mpsc::channel(4);
    chunks.send(Ok(Frame::data(Bytes::from_static(b"one")))).await.unwrap();
    let mut request = Request::post(path)
        .body(StreamBody::new(ReceiverStream::new(body)))
        .unwrap();
    // Whatever the caller says of it: a stream of which some went out ends with its peer, where there is no other.
    request.extensions_mut().insert(Idempotent(false));
    (chunks, request)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_stream_ends_with_the_obituary_while_its_answer_is_waited_for() {
    let (monitor, server, client, mut came) = watched().await;
    let (chunks, request) = going_on("/collect").await;
    let call = tokio::spawn(async move { client.request(request).await });
    have_come(&mut came, 1).await;
    monitor.say(server, Verdict::Dead, Reason::Unreachable);
    let error = call.await.unwrap().unwrap_err();
    assert!(
        matches!(&error, Error::PeerDead(dead) if dead.reason == obit::Reason::Unreachable && dead.peer == server),
        "{error:?}"
    );
    // Who goes on producing is told too.
    while chunks.send(Ok(Frame::data(Bytes::from_static(b"more")))).await.is_ok() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conversation_ends_with_the_obituary_in_the_direction_that_is_read() {
    let (monitor, server, client, _) = watched().await;
    let (chunks, request) = going_on("/chat").await;
    let mut answer = client.request(request).await.unwrap().into_body();
    assert_eq!(answer.frame().await.unwrap().unwrap().into_data().unwrap(), "one");
    chunks.send(Ok(Frame::data(Bytes::from_static(b"two")))).await.unwrap();
    assert_eq!(answer.frame().await.unwrap().unwrap().into_data().unwrap(), "two");
    monitor.say(server, Verdict::Dead, Reason::Unreachable);
    let error = answer.frame().await.unwrap().unwrap_err();
    assert!(
        matches!(&error, Error::PeerDead(dead) if dead.peer == server),
        "{error:?}"
    );
    assert!(answer.frame().await.is_none());
    while chunks.send(Ok(Frame::data(Bytes::from_static(b"more")))).await.is_ok() {
        tokio::task::yield_now().await;
    }
}

/// Messages that go on, the first of them sent.
fn messages() -> (mpsc::Sender<String>, ReceiverStream<String>) {
    let (sender, receiver) = mpsc::channel(4);
    sender.try_send("one".to_owned()).unwrap();
    (sender, ReceiverStream::new(receiver))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grpc_client_streams_and_conversations_end_as_unavailable_with_the_reason() {
    let (monitor, server, client, mut came) = watched().await;
    let mut grpc = Grpc::new(client.clone());
    let (sender, stream) = messages();
    let path = PathAndQuery::from_static("/chat");
    let codec = ProstCodec::<String, String>::default();
    let request = tonic::Request::new(stream);
    let mut answers = grpc.streaming(request, path, codec).await.unwrap().into_inner();
    assert_eq!(answers.next().await.unwrap().unwrap(), "one");

    let (_collected, stream) = messages();
    let collecting = tokio::spawn({
        let mut grpc = Grpc::new(client.clone());
        async move {
            let path = PathAndQuery::from_static("/collect");
            let codec = ProstCodec::<String, String>::default();
            grpc.client_streaming(tonic::Request::new(stream), path, codec).await
        }
    });
    have_come(&mut came, 2).await;
    monitor.say(server, Verdict::Dead, Reason::Unreachable);
    let statuses = [
        answers.next().await.unwrap().unwrap_err(),
        collecting.await.unwrap().unwrap_err(),
    ];
    for status in statuses {
        assert_eq!(status.code(), tonic::Code::Unavailable, "{status:?}");
        assert!(status.message().contains("no route to host"), "{status:?}");
    }
    drop(sender);
}
