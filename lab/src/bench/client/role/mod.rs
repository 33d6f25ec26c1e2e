//! What the processes of the client library's bench do.

mod blackhole;
mod call;
mod clients;
mod endpoints;
mod evict;
#[path = "../../../../../client-lib/tests/shutdown_support/farewell.rs"]
mod farewell;
mod leave;
mod load;
mod outlast;
mod patience;
pub(super) mod pick;
mod read_map;
pub(super) mod serve;

use anyhow::Context as _;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

pub(super) use blackhole::{CUT, Lost};
pub(super) use call::{Called, Kind};
pub(super) use clients::{bare, of_endpoints, request, settled};
pub(super) use endpoints::Grown;
pub(super) use evict::Evicted;
pub(super) use leave::{JOURNAL, Left};
pub(super) use load::Loaded;
pub(super) use outlast::Outlasted;
pub(super) use patience::Doubted;
pub(super) use pick::Picked;

/// What a process of the client library's bench does.
#[derive(Debug, Clone, clap::Subcommand)]
pub(in crate::bench) enum Role {
    /// Answers calls, as one or several pods.
    Serve(serve::ServeArgs),
    /// Calls as fast as 500 callers can, through one of several clients.
    Call(call::CallArgs),
    /// Shuts its connections down gracefully all the time.
    Leave(leave::LeaveArgs),
    /// Calls servers that do.
    Outlast(outlast::OutlastArgs),
    /// Calls until it is told to stop, while things happen.
    Load(load::LoadArgs),
    /// Calls at a rate until the pod it calls has vanished.
    Blackhole(blackhole::BlackholeArgs),
    /// Calls pods that live but do not look like it.
    Patience(patience::PatienceArgs),
    /// Has ten thousand calls in flight on an endpoint that dies.
    Evict(evict::EvictArgs),
    /// Connects to thousands of endpoints.
    Endpoints(endpoints::EndpointsArgs),
    /// Reads the health of a peer.
    ReadMap(read_map::ReadMapArgs),
    /// Picks endpoints.
    Pick(pick::PickArgs),
}

impl Role {
    /// Plays the role until its standard input ends or it is killed.
    ///
    /// # Errors
    /// When something is not as the role claims it: a call that fails where none may, an endpoint that never answers.
    pub(in crate::bench) fn play(&self) -> anyhow::Result<()> {
        match self {
            Self::Serve(args) => serve::run(args),
            Self::Call(args) => call::run(args),
            Self::Leave(args) => leave::run(args),
            Self::Outlast(args) => outlast::run(args),
            Self::Load(args) => load::run(args),
            Self::Blackhole(args) => blackhole::run(args),
            Self::Patience(args) => patience::run(args),
            Self::Evict(args) => evict::run(args),
            Self::Endpoints(args) => endpoints::run(args),
            Self::ReadMap(args) => read_map::run(args),
            Self::Pick(args) => pick::run(args),
        }
    }
}

/// The runtime of a measured client.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
}

/// As many open files as this process may have: thousands of connections are more than most machines allow at first.
fn raise_file_limit() -> anyhow::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    setrlimit(Resource::Nofile, raised).context("raise the limit of open files")
}
