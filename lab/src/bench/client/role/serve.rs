//! The servers of the bench: one process is one pod or several. Unary calls, as gRPC frames them, answered after a while.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, header};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use socket2::SockRef;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Notify, watch};

use super::raise_file_limit;
use crate::bench::talk::READY;

/// An empty gRPC message.
pub(in crate::bench::client) const MESSAGE: Bytes = Bytes::from_static(&[0; 5]);

/// What each answer carries the pod's name in.
pub(in crate::bench::client) const POD: HeaderName = HeaderName::from_static("pod");

/// The word that ends a pod in good order: it listens no more, says goodbye on every connection, and ends with the last.
pub(in crate::bench::client) const DRAIN: &str = "drain";

/// An HTTP/2 frame of SETTINGS without any (RFC 9113 § 6.5).
const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];

/// How many dials may wait to be accepted: a client of thousands of endpoints dials them all at once.
const BACKLOG: u32 = 4_096;

/// What a connection nobody reads has room for.
const LITTLE_ROOM: usize = 4_096;

/// What a server is told.
#[derive(Debug, Clone, clap::Args)]
pub(in crate::bench) struct ServeArgs {
    /// Where it listens; repeat it for several pods.
    #[arg(long = "listen", required = true)]
    listen: Vec<SocketAddr>,
    /// The pod's name.
    #[arg(long, default_value = "pod")]
    name: String,
    /// How long a call takes, milliseconds.
    #[arg(long, default_value_t = 0)]
    think_ms: u64,
    /// Calls a connection may have at once.
    #[arg(long, default_value_t = 1_000)]
    streams: u32,
    /// After how many calls a connection is told to go away.
    #[arg(long)]
    goaway_after: Option<u64>,
    /// Greets, and then reads nothing.
    #[arg(long)]
    mute: bool,
}

/// What all connections of a server share.
struct Pod {
    name: HeaderValue,
    think: Duration,
    streams: u32,
    goaway_after: Option<u64>,
    drains: watch::Receiver<bool>,
}

pub(super) fn run(args: &ServeArgs) -> anyhow::Result<()> {
    raise_file_limit()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (drain, drains) = watch::channel(false);
        let pod = Arc::new(Pod {
            name: HeaderValue::from_str(&args.name).context("the pod's name")?,
            think: Duration::from_millis(args.think_ms),
            streams: args.streams,
            goaway_after: args.goaway_after,
            drains,
        });
        let mut accepting = Vec::new();
        for address in &args.listen {
            let listener = listen(*address, args.mute).with_context(|| format!("listen on {address}"))?;
            accepting.push(match args.mute {
                true => tokio::spawn(ignore(listener)),
                false => tokio::spawn(accept(listener, pod.clone())),
            });
        }
        drop(pod);
        println!("{READY}");
        let mut lines = BufReader::new(tokio::io::stdin()).lines();
        match lines.next_line().await?.as_deref() {
            None => return Ok(()),
            Some(DRAIN) => {}
            Some(other) => anyhow::bail!("told {other:?}"),
        }
        for listener in accepting {
            listener.abort();
        }
        drain.send_replace(true);
        drain.closed().await;
        Ok(())
    })
}

fn listen(address: SocketAddr, mute: bool) -> std::io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    socket.set_reuseaddr(true)?;
    if mute {
        // Inherited by what is accepted.
        SockRef::from(&socket).set_recv_buffer_size(LITTLE_ROOM)?;
    }
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

async fn accept(listener: TcpListener, pod: Arc<Pod>) {
    // A listener that fails is noticed by whoever dials.
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(serve(stream, pod.clone()));
    }
}

async fn serve(stream: TcpStream, pod: Arc<Pod>) {
    // A connection that ends badly is the client's business: it is the one that is measured.
    let _ = stream.set_nodelay(true);
    let (answered, enough) = (Arc::new(AtomicU64::new(0)), Arc::new(Notify::new()));
    let mut drains = pod.drains.clone();
    let service = {
        let (pod, enough) = (pod.clone(), enough.clone());
        hyper::service::service_fn(move |request| {
            let number = answered.fetch_add(1, Ordering::Relaxed) + 1;
            if pod.goaway_after == Some(number) {
                enough.notify_one();
            }
            answer(request, pod.clone())
        })
    };
    let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .max_concurrent_streams(pod.streams)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    tokio::select! {
        _ = &mut connection => return,
        () = enough.notified() => {}
        _ = drains.wait_for(|drains| *drains) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = connection.await;
}

async fn answer(
    request: Request<Incoming>,
    pod: Arc<Pod>,
) -> Result<Response<impl http_body::Body<Data = Bytes, Error = Infallible>>, hyper::Error> {
    request.into_body().collect().await?;
    if !pod.think.is_zero() {
        tokio::time::sleep(pod.think).await;
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let frames = [Ok(Frame::data(MESSAGE)), Ok(Frame::trailers(trailers))];
    let mut response = Response::new(StreamBody::new(futures_util::stream::iter(frames)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(POD, pod.name.clone());
    Ok(response)
}

/// Greets on every connection and reads nothing, for ever.
async fn ignore(listener: TcpListener) {
    let mut connections = Vec::new();
    while let Ok((mut stream, _)) = listener.accept().await {
        // Its client finds out when this fails: it never becomes ready.
        let _ = stream.write_all(&SETTINGS).await;
        connections.push(stream);
    }
}
