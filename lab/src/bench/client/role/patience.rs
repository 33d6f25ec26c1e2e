//! Many connections to pods that live but do not look like it, a call in flight on each: how many are taken for dead.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::bail;
use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use http_body_util::{BodyExt as _, Full};
use obit::policy::{Call, Candidate, Picker, Policy};
use obit::{Cause, Client, Feed, Phase};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::clients::{of_endpoints, request, settled};
use super::load::heard;
use super::{raise_file_limit, runtime};
use crate::bench::talk::{GO, READY};
use crate::net::block_peer;

/// The header that names the endpoint a call is for, by its place.
const PLACE: HeaderName = HeaderName::from_static("place");

/// When a caller gives up on a call and makes another: some pods never answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a call carries: more than fits into the windows of a pod that does not read.
const BODY_BYTES: usize = 16 * 1024;

/// The word that ends the calls.
const STOP: &str = "stop";

/// What the client is told.
#[derive(Debug, Clone, clap::Args)]
pub(in crate::bench) struct PatienceArgs {
    /// A port on which one kind of pod listens, on every address; repeat it for each kind.
    #[arg(long = "port", required = true)]
    ports: Vec<u16>,
    /// How many connections to each kind, each to an address of its own.
    #[arg(long)]
    each: u32,
    /// The monitor's socket.
    #[arg(long)]
    socket: Option<PathBuf>,
}

/// What the client thought of pods that lived all the time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::bench::client) struct Doubted {
    /// How often one was evicted.
    pub(in crate::bench::client) dead: u64,
    /// Which and why, the first time.
    pub(in crate::bench::client) first: Option<String>,
    /// How often one was suspected.
    pub(in crate::bench::client) suspect: u64,
    /// How often a connection ended without one of either.
    pub(in crate::bench::client) ended: u64,
    /// Calls that were answered.
    pub(in crate::bench::client) answered: u64,
}

/// Each call to the endpoint it names.
#[derive(Debug)]
struct ByPlace;

#[derive(Debug)]
struct Places(Arc<[Candidate]>);

impl Policy for ByPlace {
    fn prepare(&self, candidates: Arc<[Candidate]>, _: Instant) -> Box<dyn Picker> {
        Box::new(Places(candidates))
    }
}

impl Picker for Places {
    fn pick(&self, call: &Call<'_>) -> usize {
        let place = call
            .head()
            .headers
            .get(PLACE)
            .and_then(|it| it.to_str().ok()?.parse().ok());
        place.unwrap_or(0) % self.0.len()
    }
}

/// Ready once every connection stands; `go` starts the calls, `stop` ends them and has it said what was thought.
pub(super) fn run(args: &PatienceArgs) -> anyhow::Result<()> {
    raise_file_limit()?;
    let runtime = runtime()?;
    runtime.block_on(async {
        let endpoints: Vec<SocketAddr> = (args.ports.iter().zip(0_u32..))
            .flat_map(|(port, kind)| (0..args.each).map(move |number| block_peer(kind * args.each + number, *port)))
            .collect();
        let feed = match &args.socket {
            Some(socket) => heard(socket).await?,
            None => Feed::offline(),
        };
        let client = of_endpoints(&endpoints).feed(feed).policy(ByPlace).build()?;
        settled(&client, endpoints.len()).await?;
        println!("{READY}");
        let mut lines = BufReader::new(tokio::io::stdin()).lines();
        if lines.next_line().await?.as_deref() != Some(GO) {
            bail!("told something else than {GO:?}");
        }
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let watching = tokio::spawn(watch(client.clone(), stop.clone()));
        let mut callers = JoinSet::new();
        for place in 0..endpoints.len() {
            callers.spawn(ask(client.clone(), place, answered.clone()));
        }
        match lines.next_line().await?.as_deref() {
            Some(STOP) | None => {}
            Some(other) => bail!("told {other:?}"),
        }
        // What is seen after this is the end's own doing.
        stop.store(true, Ordering::SeqCst);
        let mut doubted = watching.await??;
        callers.shutdown().await;
        doubted.answered = answered.load(Ordering::Relaxed);
        println!("{}", serde_json::to_string(&doubted)?);
        Ok(())
    })
}

/// One caller, with one endpoint.
async fn ask(client: Client, place: usize, answered: Arc<AtomicU64>) {
    loop {
        let Ok(request) = request("") else { return };
        let mut request = request.map(|_| Full::new(Bytes::from_static(&[0; BODY_BYTES])));
        request.headers_mut().insert(PLACE, HeaderValue::from(place));
        let call = async {
            let answer = client.request(request).await.ok()?;
            answer.into_body().collect().await.ok()
        };
        match tokio::time::timeout(PATIENCE, call).await {
            Ok(Some(_)) => {
                answered.fetch_add(1, Ordering::Relaxed);
            }
            // Some pods answer at once, and others refuse: neither may become a busy loop.
            Ok(None) => tokio::time::sleep(PATIENCE / 20).await,
            Err(_) => {}
        }
    }
}

/// Counts what befalls the endpoints until it is stopped.
async fn watch(client: Client, stop: Arc<AtomicBool>) -> anyhow::Result<Doubted> {
    let mut events = client.events();
    drop(client);
    let mut doubted = Doubted::default();
    while !stop.load(Ordering::SeqCst) {
        match tokio::time::timeout(PATIENCE / 20, events.recv()).await {
            Err(_) => {}
            Ok(Ok(event)) => match (event.to, event.cause) {
                (Phase::Suspect, _) => doubted.suspect += 1,
                (Phase::Evicted, cause) => {
                    doubted.dead += 1;
                    doubted.first.get_or_insert(format!("{}: {cause}", event.peer));
                }
                (Phase::Connecting, Cause::Dial) => doubted.ended += 1,
                _ => {}
            },
            Ok(Err(RecvError::Lagged(missed))) => bail!("{missed} changes of endpoints were not observed"),
            Ok(Err(RecvError::Closed)) => bail!("the client is gone"),
        }
    }
    Ok(doubted)
}
