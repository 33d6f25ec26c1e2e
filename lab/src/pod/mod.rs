//! A pod: the far end of the data path. One process in a namespace of its own that answers calls of one kind over h2c, as
//! gRPC and, unary ones, as Connect, in a think time.

mod connect;
mod journal;
mod service;
mod stream;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use serde::{Deserialize, Serialize};
use socket2::SockRef;
use tokio::net::{TcpListener, TcpSocket};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::order::Orders;

pub use journal::{Journal, Tally, finished, received};
pub use service::PodService;

use crate::scenario::Calls;

/// Messages and stubs of `proto/demo.proto`.
pub mod proto {
    #![allow(
        missing_docs,
        unused_qualifications,
        unreachable_pub,
        clippy::all,
        clippy::allow_attributes_without_reason,
        reason = "generated code; documented in proto/demo.proto"
    )]
    include!(concat!(env!("OUT_DIR"), "/obit.lab.v1.rs"));
}

/// The port of every pod.
pub const PORT: u16 = 8080;

/// How long a call takes unless told otherwise.
pub const THINK_TIME: Duration = Duration::from_millis(10);

/// Calls a pod accepts at once on one connection: more than any workload has, so that no client is measured by how it
/// queues behind this limit.
const MAX_CONCURRENT_STREAMS: u32 = 1_000;

/// The id of calls that are not journalled.
pub const WARM_UP: u64 = u64::MAX;

/// What a pod is told.
#[derive(Debug, Clone, clap::Args)]
pub struct PodArgs {
    /// The process that must outlive this one.
    #[arg(long)]
    pub parent: u32,
    /// What it answers with.
    #[arg(long)]
    pub name: String,
    /// Where it listens.
    #[arg(long)]
    pub listen: SocketAddr,
    /// Where it writes which calls it received and finished.
    #[arg(long)]
    pub journal: PathBuf,
    /// How many calls the journal has room for.
    #[arg(long)]
    pub calls: u64,
    /// What these calls are.
    #[arg(long)]
    pub kind: Calls,
}

/// Room for dials that wait to be accepted.
const BACKLOG: u32 = 1_024;

/// The same while none is accepted: a full queue is two dials.
const LITTLE_ROOM: i32 = 1;

/// What a pod can be told while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Order {
    /// A call takes so long from now on.
    Think(Duration),
    /// Whether it accepts connections.
    Accept(bool),
}

/// Runs a pod until it is killed, or told by SIGTERM to end: then it listens no more, says goodbye on every connection, and ends
/// with the last. Prints `ready` once it listens.
///
/// # Errors
/// When it cannot listen or open its journal, or is told something that is no [`Order`].
pub fn run(args: &PodArgs) -> anyhow::Result<()> {
    crate::child::die_with_parent(args.parent)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let journal = Journal::open(&args.journal, args.calls).context("the journal")?;
        let listener = listen(args.listen).with_context(|| format!("listen on {}", args.listen))?;
        let mut terminate = signal(SignalKind::terminate())?;
        let (think, thinks) = watch::channel(THINK_TIME);
        let (accept, accepts) = watch::channel(true);
        let ending = GracefulShutdown::new();
        let service = PodService::new(args.name.clone(), args.kind, journal, thinks);
        println!("ready");
        tokio::select! {
            failed = serve(listener, service, accepts, &ending) => return failed,
            failed = obey(think, accept) => return failed,
            _ = terminate.recv() => {}
        }
        ending.shutdown().await;
        Ok(())
    })
}

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // After a crash its old connections are still in the way.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Follows orders for as long as there may be any.
async fn obey(think: watch::Sender<Duration>, accept: watch::Sender<bool>) -> anyhow::Result<()> {
    let mut orders = Orders::of_stdin();
    while let Some(order) = orders.next().await? {
        match order {
            Order::Think(time) => drop(think.send_replace(time)),
            Order::Accept(accepting) => drop(accept.send_replace(accepting)),
        }
    }
    std::future::pending().await
}

/// Serves `service` on every connection of `listener`, accepted while `accepts` says so, until `ending` ends them.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    service: PodService,
    mut accepts: watch::Receiver<bool>,
    ending: &GracefulShutdown,
) -> anyhow::Result<()> {
    let mut http = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    http.timer(TokioTimer::new())
        .max_concurrent_streams(MAX_CONCURRENT_STREAMS);
    loop {
        let accepting = *accepts.borrow_and_update();
        tokio::select! {
            accepted = listener.accept(), if accepting => {
                let (stream, _) = accepted?;
                stream.set_nodelay(true)?;
                let connection = ending.watch(http.serve_connection(TokioIo::new(stream), service.clone()));
                // A connection that ends badly is the client's business: it is the one that is measured.
                tokio::spawn(async move {
                    let _ = connection.await;
                });
            }
            changed = accepts.changed() => {
                changed?;
                let room = if *accepts.borrow() { i32::try_from(BACKLOG)? } else { LITTLE_ROOM };
                SockRef::from(&listener).listen(room)?;
            }
        }
    }
}
