//! Ten thousand calls in flight on one endpoint when the verdict comes that it is dead.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use obit::{Feed, Verdict};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpSocket;
use tokio::task::JoinSet;

use super::clients::{of_endpoints, request, settled};
use super::load::heard;
use super::runtime;
use crate::bench::stopwatch::Stopwatch;
use crate::bench::talk::{GO, READY};
use crate::clock::monotonic_ns;

/// A source port of dials that are told that there is no way (see [`crate::net::refuse_way_to_marked_dials`]).
const MARKED_PORT: u16 = 20_000;

/// How long calls may take to get under way, and to end.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long nothing happens before the death: what was under way has then arrived and been acknowledged.
const QUIET: Duration = Duration::from_millis(200);

/// What the client is told.
#[derive(Debug, Clone, clap::Args)]
pub(in crate::bench) struct EvictArgs {
    /// The endpoint; it must not answer before this is over.
    #[arg(long)]
    server: SocketAddr,
    /// This host's address.
    #[arg(long)]
    address: std::net::Ipv4Addr,
    /// The monitor's socket.
    #[arg(long)]
    socket: PathBuf,
    /// Calls in flight.
    #[arg(long)]
    calls: u32,
}

/// How long after the kernel saw the death.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(in crate::bench::client) struct Evicted {
    /// Until the verdict was in the client's hand, nanoseconds.
    pub(in crate::bench::client) told_ns: u64,
    /// Until the first call had ended, nanoseconds.
    pub(in crate::bench::client) first_ns: u64,
    /// Until the last had, nanoseconds.
    pub(in crate::bench::client) last_ns: u64,
    /// Processor time of the client until then, nanoseconds.
    pub(in crate::bench::client) cpu_ns: u64,
}

/// Ready once all calls are in flight; lets the endpoint die when it is told to go.
pub(super) fn run(args: &EvictArgs) -> anyhow::Result<()> {
    let runtime = runtime()?;
    let evicted = runtime.block_on(async { tokio::spawn(evict(args.clone())).await? })?;
    println!("{}", serde_json::to_string(&evicted)?);
    Ok(())
}

async fn evict(args: EvictArgs) -> anyhow::Result<Evicted> {
    let feed: Feed = heard(&args.socket).await?;
    let mut watch = feed.watch(args.server);
    let client = of_endpoints(&[args.server]).feed(feed).build()?;
    settled(&client, 1).await?;
    let mut calls = JoinSet::new();
    for _ in 0..args.calls {
        let client = client.clone();
        // Not idempotent: each of them ends by the death and none begins anew.
        calls.spawn(async move {
            let answer = client.request(request("")?).await;
            let end_ns = monotonic_ns();
            let status = answer
                .ok()
                .and_then(|answer| answer.headers().get("grpc-status").cloned());
            anyhow::Ok((end_ns, status.is_some_and(|status| status != "0")))
        });
    }
    let in_flight = || client.snapshot().iter().map(|it| it.in_flight).sum::<usize>();
    let all = usize::try_from(args.calls)?;
    let under_way = async {
        while in_flight() < all {
            tokio::time::sleep(QUIET / 20).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, under_way).await;
    waited.with_context(|| format!("only {} of {all} calls are in flight", in_flight()))?;
    println!("{READY}");
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    ensure!(
        lines.next_line().await?.as_deref() == Some(GO),
        "told something else than {GO:?}"
    );
    tokio::time::sleep(QUIET).await;
    ensure!(in_flight() == all, "calls ended before the endpoint died");

    let told = tokio::spawn(async move {
        loop {
            let health = watch.changed().await;
            if health.verdict == Verdict::Dead {
                return (health.kernel_ns, monotonic_ns());
            }
        }
    });
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(SocketAddr::from((args.address, MARKED_PORT)))?;
    let watch = Stopwatch::start();
    let dialled = socket.connect(args.server).await.err().map(|error| error.kind());
    ensure!(
        dialled == Some(std::io::ErrorKind::HostUnreachable),
        "the dial that was to be told that there is no way ended with {dialled:?}"
    );
    let (kernel_ns, told_at_ns) = tokio::time::timeout(PATIENCE, told)
        .await
        .context("nobody said that the endpoint is dead")??;
    let ending = async {
        let mut ends_ns = Vec::new();
        while let Some(ended) = calls.join_next().await {
            let (end_ns, failed) = ended??;
            ensure!(failed, "a call was answered");
            ends_ns.push(end_ns.saturating_sub(kernel_ns));
        }
        Ok(ends_ns)
    };
    let ends_ns: Vec<u64> = tokio::time::timeout(PATIENCE, ending)
        .await
        .with_context(|| format!("{} calls did not end", in_flight()))??;
    let done = watch.done(args.calls.into());
    Ok(Evicted {
        told_ns: told_at_ns.saturating_sub(kernel_ns),
        first_ns: ends_ns.iter().copied().min().context("no calls")?,
        last_ns: ends_ns.iter().copied().max().context("no calls")?,
        cpu_ns: done.cpu_ns,
    })
}
