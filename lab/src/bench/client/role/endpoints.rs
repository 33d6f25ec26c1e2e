//! A client of thousands of endpoints, or as many connections of bare hyper, and what they take of memory.

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::clients::{bare, of_endpoints, settled};
use super::{raise_file_limit, runtime};
use crate::bench::stopwatch::Stopwatch;
use crate::bench::talk::whenever_told;
use crate::bench::usage::memory;
use crate::net::block_peer;

/// How long nothing happens before memory is looked at.
const QUIET: Duration = Duration::from_millis(500);

/// What the client is told.
#[derive(Debug, Clone, clap::Args)]
pub(in crate::bench) struct EndpointsArgs {
    /// How many peers of the block, from its first on.
    #[arg(long)]
    endpoints: u32,
    /// Their port.
    #[arg(long)]
    port: u16,
    /// Connect with hyper alone.
    #[arg(long)]
    bare: bool,
}

/// What the endpoints took.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(in crate::bench::client) struct Grown {
    /// Memory of this process that was not resident before, bytes.
    pub(in crate::bench::client) bytes: u64,
    /// Until all of them were in rotation, nanoseconds.
    pub(in crate::bench::client) ready_ns: u64,
    /// Processor time until then, nanoseconds.
    pub(in crate::bench::client) cpu_ns: u64,
}

/// Connects to all of them, once, when it is told to go.
pub(super) fn run(args: &EndpointsArgs) -> anyhow::Result<()> {
    raise_file_limit()?;
    let runtime = runtime()?;
    whenever_told(|| runtime.block_on(connect(args)))
}

async fn connect(args: &EndpointsArgs) -> anyhow::Result<Grown> {
    let peers: Vec<SocketAddr> = (0..args.endpoints)
        .map(|number| block_peer(number, args.port))
        .collect();
    let own = std::process::id();
    let before = memory(own)?;
    let watch = Stopwatch::start();
    // Held until everything is counted.
    let (client, mut connections) = (of_endpoints(if args.bare { &[] } else { &peers }).build()?, Vec::new());
    if args.bare {
        let dials = peers.iter().map(|peer| bare(*peer));
        connections = futures_util::future::try_join_all(dials).await?;
    } else {
        settled(&client, peers.len()).await?;
    }
    let done = watch.done(args.endpoints.into());
    // A connection of hyper's stands before the server's greeting has come.
    tokio::time::sleep(QUIET).await;
    let after = memory(own)?;
    drop((client, connections));
    Ok(Grown {
        bytes: after.resident.saturating_sub(before.resident),
        ready_ns: done.elapsed_ns,
        cpu_ns: done.cpu_ns,
    })
}
