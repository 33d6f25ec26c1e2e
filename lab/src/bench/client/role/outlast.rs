//! Callers of servers that shut their connections down all the time, and the account of what became of their calls.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Empty};
use obit::{Client, Idempotent};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use super::clients::{PATH, of_endpoints};
use super::leave::{CALL_ID, may_be_repeated};
use super::runtime;
use crate::bench::talk::whenever_told;

/// After which time a call hangs.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the callers are told.
#[derive(Debug, Clone, clap::Args)]
pub(in crate::bench) struct OutlastArgs {
    /// A server; repeat it for several.
    #[arg(long = "server", required = true)]
    servers: Vec<SocketAddr>,
    /// Connections to each.
    #[arg(long)]
    connections: usize,
    /// Callers.
    #[arg(long)]
    callers: usize,
    /// How long they call, milliseconds.
    #[arg(long)]
    for_ms: u64,
}

/// What became of the calls.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::bench::client) struct Outlasted {
    /// Calls that were answered.
    pub(in crate::bench::client) answered: u64,
    /// Calls that failed.
    pub(in crate::bench::client) failed: u64,
    /// What the first of them heard.
    pub(in crate::bench::client) failure: Option<String>,
    /// Calls that neither were answered nor failed.
    pub(in crate::bench::client) hung: u64,
}

impl Outlasted {
    fn add(&mut self, other: Self) {
        self.answered += other.answered;
        self.failed += other.failed;
        self.hung += other.hung;
        self.failure = self.failure.take().or(other.failure);
    }
}

/// Each time it is told to go: a fresh client, and calls until the time is over.
pub(super) fn run(args: &OutlastArgs) -> anyhow::Result<()> {
    let runtime = runtime()?;
    let next = Arc::<AtomicU64>::default();
    whenever_told(|| runtime.block_on(outlast(args, &next)))
}

async fn outlast(args: &OutlastArgs, next: &Arc<AtomicU64>) -> anyhow::Result<Outlasted> {
    let client = of_endpoints(&args.servers)
        .connections_per_endpoint(args.connections)
        .build()?;
    let over = Arc::<AtomicBool>::default();
    let mut callers = JoinSet::new();
    for _ in 0..args.callers {
        callers.spawn(ask(client.clone(), next.clone(), over.clone()));
    }
    tokio::time::sleep(Duration::from_millis(args.for_ms)).await;
    over.store(true, Ordering::Relaxed);
    let mut outlasted = Outlasted::default();
    while let Some(caller) = callers.join_next().await {
        outlasted.add(caller?);
    }
    Ok(outlasted)
}

/// One caller.
async fn ask(client: Client, next: Arc<AtomicU64>, over: Arc<AtomicBool>) -> Outlasted {
    let mut outlasted = Outlasted::default();
    while !over.load(Ordering::Relaxed) {
        let id = next.fetch_add(1, Ordering::Relaxed);
        match tokio::time::timeout(PATIENCE, call(&client, id)).await {
            Ok(Ok(())) => outlasted.answered += 1,
            Ok(Err(failure)) => {
                outlasted.failed += 1;
                outlasted.failure.get_or_insert(format!("{failure:#}"));
            }
            Err(_) => outlasted.hung += 1,
        }
    }
    outlasted
}

async fn call(client: &Client, id: u64) -> anyhow::Result<()> {
    // Not as gRPC: its caller would be told of a failure without the cause.
    let mut request = Request::post(PATH).header(CALL_ID, id).body(Empty::<Bytes>::new())?;
    request.extensions_mut().insert(Idempotent(may_be_repeated(id)));
    let answer = client.request(request).await?;
    answer.into_body().collect().await?;
    Ok(())
}
