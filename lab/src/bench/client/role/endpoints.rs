//! A client of thousands of endpoints, and what it takes of memory.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::clients::{of_endpoints, settled};
use super::{raise_file_limit, runtime};
use crate::bench::stopwatch::Stopwatch;
use crate::bench::talk::whenever_told;
use crate::bench::usage::memory;
use crate::net::block_peer;

/// What the client is told.
#[derive(Debug, Clone, clap::Args)]
pub(in crate::bench) struct EndpointsArgs {
    /// How many peers of the block, from its first on.
    #[arg(long)]
    endpoints: u32,
    /// Their port.
    #[arg(long)]
    port: u16,
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
    let client = of_endpoints(&peers).build()?;
    settled(&client, peers.len()).await?;
    let done = watch.done(args.endpoints.into());
    let after = memory(own)?;
    Ok(Grown {
        bytes: after.resident.saturating_sub(before.resident),
        ready_ns: done.elapsed_ns,
        cpu_ns: done.cpu_ns,
    })
}
