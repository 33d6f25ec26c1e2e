//! The clients that are measured, made alike for every part.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use http::{Request, header};
use http_body_util::Full;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use obit::{Client, ClientBuilder, Feed, Phase};

use super::serve::MESSAGE;

/// The path of every call.
pub(super) const PATH: &str = "/obit.lab.v1.Demo/Call";

/// What obit's clients are told to call.
const ORIGIN: &str = "http://bench";

/// How long a client may take to connect to everything.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often it is asked whether it has.
const LOOK: Duration = Duration::from_millis(5);

/// A client of these endpoints; without a monitor unless it gets another feed.
pub(in crate::bench::client) fn of_endpoints(servers: &[SocketAddr]) -> ClientBuilder {
    with_nothing().endpoints(servers.iter().copied())
}

/// A client that has yet to be told where its endpoints come from.
pub(super) fn with_nothing() -> ClientBuilder {
    Client::builder(ORIGIN).feed(Feed::offline())
}

/// Waits until exactly so many endpoints are in rotation.
pub(in crate::bench::client) async fn settled(client: &Client, ready: usize) -> anyhow::Result<()> {
    let now = || client.snapshot().iter().filter(|it| it.phase == Phase::Ready).count();
    let settling = async {
        while now() != ready {
            tokio::time::sleep(LOOK).await;
        }
    };
    if tokio::time::timeout(PATIENCE, settling).await.is_err() {
        bail!("{} of {ready} endpoints are in rotation after {PATIENCE:?}", now());
    }
    Ok(())
}

/// One connection of hyper's own.
pub(in crate::bench::client) async fn bare(server: SocketAddr) -> anyhow::Result<SendRequest<Full<Bytes>>> {
    let stream = tokio::net::TcpStream::connect(server).await.context("connect")?;
    stream.set_nodelay(true)?;
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    // What ends it, the next call on it hears.
    tokio::spawn(connection);
    Ok(sender)
}

/// A call as gRPC makes it. Where the client knows its origin, `origin` is empty.
pub(in crate::bench::client) fn request(origin: &str) -> http::Result<Request<Full<Bytes>>> {
    Request::post(format!("{origin}{PATH}"))
        .header(header::CONTENT_TYPE, "application/grpc")
        .header(header::TE, "trailers")
        .body(Full::new(MESSAGE))
}
