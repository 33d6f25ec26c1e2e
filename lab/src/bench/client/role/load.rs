//! Callers that go on while pods and monitors come and go, and the account of what became of their calls.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, bail};
use http_body_util::BodyExt as _;
use obit::resolve::{Endpoint, Resolve, Resolving, Sets};
use obit::{Client, Feed, FeedStatus, Idempotent};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::clients::{request, settled, with_nothing};
use super::runtime;
use crate::bench::talk::{GO, READY};
use crate::clock::monotonic_ns;

/// The word that ends the calls.
const STOP: &str = "stop";

/// The word before the addresses of all endpoints from now on.
const ENDPOINTS: &str = "endpoints";

/// How long calls in flight may take to end once no more are made.
const GRACE: Duration = Duration::from_secs(20);

/// How long the client may take to hear its monitor.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the callers are told.
#[derive(Debug, Clone, clap::Args)]
pub(in crate::bench) struct LoadArgs {
    /// An endpoint at the start; repeat it for several.
    #[arg(long = "server", required = true)]
    servers: Vec<SocketAddr>,
    /// The monitor's socket; without one the client is on its own.
    #[arg(long)]
    socket: Option<PathBuf>,
    /// Callers.
    #[arg(long)]
    callers: usize,
    /// Do not mark calls as idempotent.
    #[arg(long)]
    not_idempotent: bool,
}

/// What became of the calls.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::bench::client) struct Loaded {
    /// Calls that were answered.
    pub(in crate::bench::client) answered: u64,
    /// Calls that were not.
    pub(in crate::bench::client) failed: u64,
    /// What the first of them heard.
    pub(in crate::bench::client) failure: Option<String>,
    /// How long the slowest took, nanoseconds.
    pub(in crate::bench::client) slowest_ns: u64,
    /// The longest time without an answer, nanoseconds.
    pub(in crate::bench::client) gap_ns: u64,
    /// When it ended, `CLOCK_MONOTONIC` nanoseconds.
    pub(in crate::bench::client) gap_until_ns: u64,
}

/// Loaded, and what it takes to go on counting.
#[derive(Debug, Default)]
struct Account {
    loaded: Loaded,
    last_answer_ns: u64,
}

impl Account {
    fn ended(&mut self, start_ns: u64, end_ns: u64, failure: Option<String>) {
        let loaded = &mut self.loaded;
        loaded.slowest_ns = loaded.slowest_ns.max(end_ns.saturating_sub(start_ns));
        if let Some(failure) = failure {
            loaded.failed += 1;
            loaded.failure.get_or_insert(failure);
            return;
        }
        loaded.answered += 1;
        let gap_ns = end_ns.saturating_sub(self.last_answer_ns);
        if self.last_answer_ns > 0 && gap_ns > loaded.gap_ns {
            loaded.gap_ns = gap_ns;
            loaded.gap_until_ns = end_ns;
        }
        self.last_answer_ns = end_ns;
    }
}

/// A resolver that says what it is told.
struct Told(mpsc::Receiver<Vec<SocketAddr>>);

impl Resolve for Told {
    fn run(mut self: Box<Self>, mut sets: Sets) -> Resolving {
        Box::pin(async move {
            while let Some(addresses) = self.0.recv().await {
                sets.publish(addresses.into_iter().map(Endpoint::new).collect()).await;
            }
        })
    }
}

/// Ready once every endpoint is in rotation. `go` starts the calls, `endpoints A B …` changes the endpoints, `stop` ends the
/// calls and has the account printed.
pub(super) fn run(args: &LoadArgs) -> anyhow::Result<()> {
    let runtime = runtime()?;
    runtime.block_on(async {
        let (tell, told) = mpsc::channel(1);
        let mut builder = with_nothing().resolver(Told(told));
        if let Some(socket) = &args.socket {
            builder = builder.feed(heard(socket).await?);
        }
        let client = builder.build()?;
        tell.send(args.servers.clone()).await.context("the resolver")?;
        let endpoints: HashSet<_> = args.servers.iter().collect();
        settled(&client, endpoints.len()).await?;

        let account = Arc::<Mutex<Account>>::default();
        let stop = Arc::new(AtomicBool::new(false));
        let mut callers = JoinSet::new();
        println!("{READY}");
        let mut lines = BufReader::new(tokio::io::stdin()).lines();
        while let Some(line) = lines.next_line().await? {
            let mut words = line.split_whitespace();
            match words.next() {
                Some(GO) => {
                    for _ in 0..args.callers {
                        callers.spawn(ask(client.clone(), !args.not_idempotent, account.clone(), stop.clone()));
                    }
                }
                Some(ENDPOINTS) => {
                    let addresses = words.map(str::parse).collect::<Result<Vec<SocketAddr>, _>>();
                    tell.send(addresses.context("an address")?)
                        .await
                        .context("the resolver")?;
                }
                Some(STOP) => break,
                _ => bail!("told {line:?}"),
            }
        }
        stop.store(true, Ordering::Relaxed);
        let ended = async { while callers.join_next().await.is_some() {} };
        let hang = tokio::time::timeout(GRACE, ended).await.is_err();
        anyhow::ensure!(!hang, "calls hang {GRACE:?} after the last was made: {client:?}");
        let account = account.lock().unwrap_or_else(PoisonError::into_inner);
        println!("{}", serde_json::to_string(&account.loaded)?);
        Ok(())
    })
}

/// A feed that hears its monitor.
pub(super) async fn heard(socket: &std::path::Path) -> anyhow::Result<Feed> {
    let mut feed = Feed::connect(socket);
    let hearing = async {
        while matches!(feed.status(), FeedStatus::Blind { .. }) {
            feed.status_changed().await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, hearing).await;
    waited.context("the client does not hear its monitor")?;
    Ok(feed)
}

/// One caller.
async fn ask(client: Client, idempotent: bool, account: Arc<Mutex<Account>>, stop: Arc<AtomicBool>) {
    while !stop.load(Ordering::Relaxed) {
        let start_ns = monotonic_ns();
        let failure = call(&client, idempotent).await.err();
        let end_ns = monotonic_ns();
        let failure = failure.map(|error| format!("{error:#}"));
        account
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .ended(start_ns, end_ns, failure);
    }
}

async fn call(client: &Client, idempotent: bool) -> anyhow::Result<()> {
    let mut request = request("")?;
    if idempotent {
        request.extensions_mut().insert(Idempotent(true));
    }
    let answer = client.request(request).await?;
    // How a gRPC caller hears of a failure: a response of trailers only.
    if let Some(status) = answer.headers().get("grpc-status")
        && status != "0"
    {
        bail!("grpc-status {status:?}: {:?}", answer.headers().get("grpc-message"));
    }
    let trailers = answer
        .into_body()
        .collect()
        .await?
        .trailers()
        .cloned()
        .unwrap_or_default();
    let status = trailers.get("grpc-status").context("no grpc-status")?;
    anyhow::ensure!(status == "0", "grpc-status {status:?}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_time_without_an_answer_is_found_and_failures_do_not_end_it() {
        let mut account = Account::default();
        account.ended(0, 100, None);
        account.ended(50, 110, None);
        account.ended(60, 400, Some("one".into()));
        account.ended(110, 900, None);
        account.ended(900, 950, Some("another".into()));
        assert_eq!(
            account.loaded,
            Loaded {
                answered: 3,
                failed: 2,
                failure: Some("one".into()),
                slowest_ns: 790,
                gap_ns: 790,
                gap_until_ns: 900,
            }
        );
    }
}
