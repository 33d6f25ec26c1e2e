//! Calls as fast as 500 callers can make them, through bare hyper, obit's client, tonic's balancer, or tonic over obit's
//! client.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use http::Response;
use http::uri::PathAndQuery;
use http_body_util::BodyExt as _;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use tonic::client::{Grpc, GrpcService};
use tonic::transport::{Channel, Endpoint};
use tonic_prost::ProstCodec;

use super::clients::{PATH, bare, of_endpoints, request, settled};
use super::runtime;
use super::serve::MESSAGE;
use crate::bench::Done;
use crate::bench::spread::percentile;
use crate::bench::stopwatch::Stopwatch;
use crate::bench::talk::whenever_told;
use crate::clock::monotonic_ns;

/// Callers.
const AT_ONCE: usize = 500;

/// What calls go through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(in crate::bench) enum Kind {
    /// hyper's connections, one to each server, by turns.
    Hyper,
    /// obit's client.
    Obit,
    /// tonic's `balance_list`.
    Tonic,
    /// tonic over obit's client.
    TonicOnObit,
}

impl Kind {
    /// What it is called on the command line.
    pub(in crate::bench::client) fn name(self) -> &'static str {
        match self {
            Self::Hyper => "hyper",
            Self::Obit => "obit",
            Self::Tonic => "tonic",
            Self::TonicOnObit => "tonic-on-obit",
        }
    }
}

/// What the callers are told.
#[derive(Debug, Clone, clap::Args)]
pub(in crate::bench) struct CallArgs {
    /// What calls go through.
    #[arg(long)]
    through: Kind,
    /// A server; repeat it for several.
    #[arg(long = "server", required = true)]
    servers: Vec<SocketAddr>,
    /// How many calls are counted.
    #[arg(long)]
    calls: u64,
}

/// What came of the calls.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(in crate::bench::client) struct Called {
    /// How many, in what time.
    pub(in crate::bench::client) done: Done,
    /// How long the middle one took, nanoseconds.
    pub(in crate::bench::client) p50_ns: u64,
    /// How long 99 of 100 took at most, nanoseconds.
    pub(in crate::bench::client) p99_ns: u64,
}

/// Each time it is told to go: fresh connections, a call for each caller to warm up, then the calls that count.
pub(super) fn run(args: &CallArgs) -> anyhow::Result<()> {
    let runtime = runtime()?;
    whenever_told(|| runtime.block_on(through(args)))
}

async fn through(args: &CallArgs) -> anyhow::Result<Called> {
    let servers = &args.servers;
    match args.through {
        Kind::Hyper => {
            let mut connections = Vec::new();
            for server in servers {
                connections.push(bare(*server).await?);
            }
            let (connections, next) = (Arc::new(connections), Arc::new(AtomicUsize::new(0)));
            measure(args.calls, move || {
                let turn = next.fetch_add(1, Ordering::Relaxed) % connections.len();
                let mut connection = connections[turn].clone();
                async move { read(connection.send_request(request("http://bench")?).await?).await }
            })
            .await
        }
        Kind::Obit => {
            let client = of_endpoints(servers).build()?;
            settled(&client, servers.len()).await?;
            measure(args.calls, move || {
                let client = client.clone();
                async move { read(client.request(request("")?).await?).await }
            })
            .await
        }
        Kind::Tonic => {
            let endpoints = servers
                .iter()
                .map(|server| Endpoint::from_shared(format!("http://{server}")));
            let endpoints = endpoints.collect::<Result<Vec<_>, _>>()?;
            let channel = Channel::balance_list(endpoints.into_iter());
            measure(args.calls, move || unary(channel.clone())).await
        }
        Kind::TonicOnObit => {
            let client = of_endpoints(servers).build()?;
            settled(&client, servers.len()).await?;
            measure(args.calls, move || unary(client.clone())).await
        }
    }
}

/// A warm-up of one call for each caller, then `calls` calls.
async fn measure<F, C>(calls: u64, call: F) -> anyhow::Result<Called>
where
    F: Fn() -> C + Clone + Send + Sync + 'static,
    C: Future<Output = anyhow::Result<()>> + Send,
{
    callers(AT_ONCE as u64, call.clone()).await?;
    let watch = Stopwatch::start();
    let took_ns = callers(calls, call).await?;
    let done = watch.done(calls);
    let of = |share| percentile(&took_ns, share).context("no calls");
    Ok(Called {
        done,
        p50_ns: of(0.5)?,
        p99_ns: of(0.99)?,
    })
}

/// `calls` calls by [`AT_ONCE`] callers; how long each took. A failed one is an error.
async fn callers<F, C>(calls: u64, call: F) -> anyhow::Result<Vec<u64>>
where
    F: Fn() -> C + Clone + Send + Sync + 'static,
    C: Future<Output = anyhow::Result<()>> + Send,
{
    let begun = Arc::new(AtomicU64::new(0));
    let mut callers = JoinSet::new();
    for _ in 0..AT_ONCE {
        let (begun, call) = (begun.clone(), call.clone());
        callers.spawn(async move {
            let mut took_ns = Vec::new();
            while begun.fetch_add(1, Ordering::Relaxed) < calls {
                let start_ns = monotonic_ns();
                call().await?;
                took_ns.push(monotonic_ns().saturating_sub(start_ns));
            }
            anyhow::Ok(took_ns)
        });
    }
    let mut took_ns = Vec::new();
    while let Some(caller) = callers.join_next().await {
        took_ns.append(&mut caller?.context("a call failed")?);
    }
    Ok(took_ns)
}

async fn read<B>(response: Response<B>) -> anyhow::Result<()>
where
    B: http_body::Body<Data = Bytes, Error: std::error::Error + Send + Sync + 'static>,
{
    let body = response.into_body().collect().await?.to_bytes();
    ensure!(body == MESSAGE, "answered with {body:?}");
    Ok(())
}

async fn unary<S>(service: S) -> anyhow::Result<()>
where
    S: GrpcService<tonic::body::Body, Error: Into<tonic::codegen::StdError>>,
    S::ResponseBody: http_body::Body<Data = Bytes, Error: Into<tonic::codegen::StdError> + Send> + Send + 'static,
{
    let mut grpc = Grpc::new(service);
    grpc.ready()
        .await
        .map_err(|error| anyhow::anyhow!(error.into()))
        .context("tonic is not ready")?;
    let (path, codec) = (PathAndQuery::from_static(PATH), ProstCodec::<(), ()>::default());
    grpc.unary(tonic::Request::new(()), path, codec).await?;
    Ok(())
}
