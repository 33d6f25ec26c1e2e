//! Calls at a rate on one connection until its pod has vanished, and how long after the first call that nobody received the
//! client knew.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use http::HeaderName;
use http_body_util::BodyExt as _;
use obit::policy::HeaderHash;
use obit::{Client, Feed, Idempotent, Phase};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinSet;

use super::clients::{of_endpoints, request, settled};
use super::load::heard;
use super::runtime;
use super::serve::POD;
use crate::bench::talk::READY;
use crate::clock::monotonic_ns;

/// What is said when the pod may vanish.
pub(in crate::bench::client) const CUT: &str = "cut";

/// The header by which a call finds its pod.
const KEY: HeaderName = HeaderName::from_static("key");

/// How long calls are answered before the pod vanishes: a round-trip time is known then.
const BEFORE: Duration = Duration::from_millis(500);

/// How many keys are tried to find one whose calls go to the pod that vanishes.
const KEYS: u32 = 1_000;

/// How long the death is waited for, from the moment the pod may vanish.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the client is told.
#[derive(Debug, Clone, clap::Args)]
pub(in crate::bench) struct BlackholeArgs {
    /// The pod that vanishes.
    #[arg(long)]
    victim: SocketAddr,
    /// What it calls itself.
    #[arg(long)]
    name: String,
    /// One that stays; repeat it for several.
    #[arg(long = "other", required = true)]
    others: Vec<SocketAddr>,
    /// The monitor's socket; without one the client is on its own.
    #[arg(long)]
    socket: Option<PathBuf>,
}

/// What became of the pod, counted from the first call to it that nobody received.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::bench::client) struct Lost {
    /// Until it was suspected or dead, and so out of rotation, nanoseconds.
    pub(in crate::bench::client) suspect_ns: u64,
    /// Until it was dead, nanoseconds.
    pub(in crate::bench::client) dead_ns: u64,
    /// Whether it was suspected first.
    pub(in crate::bench::client) suspected: bool,
    /// Calls that failed; they are idempotent.
    pub(in crate::bench::client) failed: u64,
}

/// Each time it is told a rate: calls so many times a second, says [`CUT`], and then what became of the pod.
pub(super) fn run(args: &BlackholeArgs) -> anyhow::Result<()> {
    let runtime = runtime()?;
    runtime.block_on(async {
        let feed = match &args.socket {
            Some(socket) => heard(socket).await?,
            None => Feed::offline(),
        };
        println!("{READY}");
        let mut lines = BufReader::new(tokio::io::stdin()).lines();
        while let Some(line) = lines.next_line().await? {
            let rate: u32 = line.parse().with_context(|| format!("{line:?} is no rate"))?;
            println!("{}", serde_json::to_string(&lose(args, feed.clone(), rate).await?)?);
        }
        Ok(())
    })
}

/// A call to the victim, while it was there.
#[derive(Debug, Clone, Copy)]
struct Call {
    start_ns: u64,
    end: End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    ByVictim,
    ByAnother,
    Failed,
}

async fn lose(args: &BlackholeArgs, feed: Feed, rate: u32) -> anyhow::Result<Lost> {
    let servers = [&[args.victim], &args.others[..]].concat();
    let client = of_endpoints(&servers).feed(feed).policy(HeaderHash::of(KEY)).build()?;
    settled(&client, servers.len()).await?;
    let key = key_of(&client, &args.name).await?;
    let mut events = client.events();
    let calls = Arc::<Mutex<Vec<Call>>>::default();
    let mut calling = JoinSet::new();
    let interval = Duration::from_secs(1) / rate;
    let mut ticks = tokio::time::interval(interval);
    // Between two calls, so that none is under way when the pod vanishes.
    let before = interval * (1..).find(|calls| interval * *calls >= BEFORE).unwrap_or(1) + interval / 2;
    let cut = tokio::time::sleep(before);
    let mut cut = std::pin::pin!(cut);
    let mut said = false;
    let (mut suspect_ns, mut suspected) = (None, false);
    let watched = async {
        loop {
            tokio::select! {
                _ = ticks.tick() => {
                    let (client, victim, calls) = (client.clone(), args.name.clone(), calls.clone());
                    calling.spawn(async move {
                        let start_ns = monotonic_ns();
                        let end = match call(&client, key).await {
                            Ok(pod) if pod == victim => End::ByVictim,
                            Ok(_) => End::ByAnother,
                            Err(_) => End::Failed,
                        };
                        calls.lock().unwrap_or_else(PoisonError::into_inner).push(Call { start_ns, end });
                    });
                }
                () = &mut cut, if !said => {
                    said = true;
                    println!("{CUT}");
                }
                event = events.recv() => match event {
                    Ok(event) if event.peer == args.victim => {
                        let ago_ns = u64::try_from(event.at.elapsed().as_nanos()).unwrap_or(u64::MAX);
                        let at_ns = monotonic_ns().saturating_sub(ago_ns);
                        if event.to != Phase::Ready {
                            suspect_ns.get_or_insert(at_ns);
                            suspected |= event.to == Phase::Suspect;
                        }
                        if event.to == Phase::Evicted {
                            return anyhow::Ok(at_ns);
                        }
                    }
                    Ok(_) | Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => anyhow::bail!("the client is gone"),
                },
            }
        }
    };
    let dead_ns = tokio::time::timeout(PATIENCE, watched)
        .await
        .with_context(|| format!("at {rate} calls/s the pod was not dead within {PATIENCE:?}: {client:?}"))??;
    while calling.join_next().await.is_some() {}
    let calls = calls.lock().unwrap_or_else(PoisonError::into_inner);
    let since_ns = first_lost(&calls).context("every call was answered by the pod that vanished")?;
    ensure!(since_ns <= dead_ns, "the pod was dead before a call was lost");
    Ok(Lost {
        suspect_ns: suspect_ns.unwrap_or(dead_ns).saturating_sub(since_ns),
        dead_ns: dead_ns - since_ns,
        suspected,
        failed: calls.iter().filter(|call| call.end == End::Failed).count() as u64,
    })
}

/// When the first call was made that the victim did not answer.
fn first_lost(calls: &[Call]) -> Option<u64> {
    let lost = calls.iter().filter(|call| call.end != End::ByVictim);
    lost.map(|call| call.start_ns).min()
}

/// A key whose calls go to the victim.
async fn key_of(client: &Client, victim: &str) -> anyhow::Result<u32> {
    for key in 0..KEYS {
        if call(client, key).await? == victim {
            return Ok(key);
        }
    }
    anyhow::bail!("none of {KEYS} calls went to {victim}")
}

/// One call; the name of the pod that answered.
async fn call(client: &Client, key: u32) -> anyhow::Result<String> {
    let mut request = request("")?;
    request.headers_mut().insert(KEY, key.into());
    request.extensions_mut().insert(Idempotent(true));
    let answer = client.request(request).await?;
    let pod = answer
        .headers()
        .get(POD)
        .context("answered by no pod")?
        .to_str()?
        .to_owned();
    answer.into_body().collect().await?;
    Ok(pod)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_call_that_the_victim_did_not_answer_is_lost_whatever_the_order() {
        let call = |start_ns, end| Call { start_ns, end };
        let calls = [
            call(30, End::ByAnother),
            call(10, End::ByVictim),
            call(20, End::Failed),
            call(15, End::ByVictim),
        ];
        assert_eq!(first_lost(&calls), Some(20));
        assert_eq!(first_lost(&calls[1..2]), None);
    }
}
