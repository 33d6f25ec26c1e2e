//! The workload's process: warms up, says `ready`, starts when told `go`, says when it started, and leaves its trace and
//! observations in files.

use std::fs::File;
use std::io::{BufRead as _, BufWriter};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::load::Load;
use super::{ClientKind, Observations, clients};

/// What the workload is told.
#[derive(Debug, Clone, clap::Args)]
pub struct ClientArgs {
    /// The process that must outlive this one.
    #[arg(long)]
    pub parent: u32,
    /// Which client library to drive.
    pub client: ClientKind,
    /// The pods, in the order of their numbers.
    #[arg(long = "pod", required = true)]
    pub pods: Vec<SocketAddr>,
    /// The lab's DNS server, for clients that resolve names.
    #[arg(long)]
    pub dns: SocketAddr,
    /// The monitor's socket, for clients that listen to it.
    #[arg(long)]
    pub socket: Option<PathBuf>,
    /// Callers.
    #[arg(long)]
    pub concurrency: u64,
    /// Calls each caller makes.
    #[arg(long)]
    pub requests: u64,
    /// Do not mark calls as idempotent.
    #[arg(long)]
    pub not_idempotent: bool,
    /// When the run is stopped, seconds.
    #[arg(long)]
    pub bound_seconds: u64,
    /// The directory for `trace` and `result.json`.
    #[arg(long)]
    pub output: PathBuf,
}

/// What the workload leaves beside its trace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Result {
    /// When the first call was made, `CLOCK_MONOTONIC` nanoseconds.
    pub start_ns: u64,
    /// The error texts, by class.
    pub classes: Vec<String>,
    /// Whether the run was stopped at the bound.
    pub stopped: bool,
    /// What the client told of itself.
    pub observations: Observations,
}

impl ClientArgs {
    /// The load these arguments ask for.
    #[must_use]
    pub fn load(&self) -> Load {
        Load {
            concurrency: self.concurrency,
            requests: self.requests,
            idempotent: !self.not_idempotent,
            bound: Duration::from_secs(self.bound_seconds),
        }
    }
}

/// Runs the workload. Prints `ready`, reads `go`, prints `started NANOSECONDS`, and ends when its files are written.
///
/// # Errors
/// When the client cannot be built, a pod does not answer the warm-up, or the files cannot be written.
pub fn run(args: &ClientArgs) -> anyhow::Result<()> {
    crate::child::die_with_parent(args.parent)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let (done, observations) = runtime.block_on(clients::drive(args))?;
    // Calls that hang hold their tasks; nothing of theirs is needed any more.
    runtime.shutdown_background();
    let trace = File::create(args.output.join("trace")).context("the trace")?;
    super::write(&done.calls, BufWriter::new(trace)).context("the trace")?;
    let result = Result {
        start_ns: done.start_ns,
        classes: done.classes,
        stopped: done.stopped,
        observations,
    };
    let file = File::create(args.output.join("result.json")).context("the result")?;
    serde_json::to_writer(BufWriter::new(file), &result).context("the result")
}

/// Says `ready` and waits for `go`.
pub(super) async fn rendezvous() -> anyhow::Result<()> {
    println!("ready");
    let line = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        std::io::stdin().lock().read_line(&mut line).map(|_| line)
    });
    let line = line.await??;
    anyhow::ensure!(line.trim() == "go", "told {line:?} instead of \"go\"");
    println!("started {}", crate::clock::monotonic_ns());
    Ok(())
}
