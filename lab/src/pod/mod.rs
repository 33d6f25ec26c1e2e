//! A pod: the far end of the data path. One process in a namespace of its own that answers one unary RPC over h2c, as
//! gRPC and as Connect, after a fixed think time.

mod connect;
mod journal;
mod service;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpListener;

pub use journal::{Journal, Tally, received};
pub use service::PodService;

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

/// How long a call takes.
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
}

/// Runs a pod until it is killed. Prints `ready` once it listens.
///
/// # Errors
/// When it cannot listen or open its journal.
pub fn run(args: &PodArgs) -> anyhow::Result<()> {
    crate::child::die_with_parent(args.parent)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let journal = Journal::create(&args.journal, args.calls).context("the journal")?;
        let listener = TcpListener::bind(args.listen)
            .await
            .with_context(|| format!("listen on {}", args.listen))?;
        println!("ready");
        serve(listener, PodService::new(args.name.clone(), journal)).await
    })
}

/// Serves `service` on every connection of `listener`.
///
/// # Errors
/// When the listener fails.
pub async fn serve(listener: TcpListener, service: PodService) -> anyhow::Result<()> {
    let mut http = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    http.timer(TokioTimer::new())
        .max_concurrent_streams(MAX_CONCURRENT_STREAMS);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let connection = http.serve_connection(TokioIo::new(stream), service.clone());
        // A connection that ends badly is the client's business: it is the one that is measured.
        tokio::spawn(async move {
            let _ = connection.await;
        });
    }
}
