//! `obit::Client` and hundreds of servers' graceful shutdowns at random moments: no call that may not be repeated is processed
//! twice, none fails, none hangs.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod shutdown_support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use obit::{Client, Feed, Idempotent};
use shutdown_support::{CALL_ID, Farewell, Journal, leaving};
use tokio::task::JoinSet;

const SERVERS: u64 = 3;

/// Connections to each.
const CONNECTIONS: usize = 2;

const CALLERS: u64 = 60;

/// How long a connection lives at most.
const LIFE: Duration = Duration::from_millis(20);

/// After so many shutdowns no more calls are made.
const SHUTDOWNS: usize = 300;

/// Far more than the calls of a machine that is busy with others take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Calls until there were [`SHUTDOWNS`]; one in two is marked as one that may be repeated.
async fn calls_survive(farewell: Farewell) {
    let journal = Arc::new(Journal::default());
    let mut servers = Vec::new();
    for seed in 0..SERVERS {
        servers.push(leaving(farewell, LIFE, seed, journal.clone()).await);
    }
    let client = Client::builder("http://pods.test")
        .feed(Feed::offline())
        .endpoints(servers)
        .connections_per_endpoint(CONNECTIONS)
        .queue(8192, PATIENCE)
        .build()
        .unwrap();
    let next = Arc::new(AtomicU64::new(0));
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let (client, next, journal) = (client.clone(), next.clone(), journal.clone());
        callers.spawn(async move {
            let mut failed = Vec::new();
            while journal.shutdowns() < SHUTDOWNS {
                let id = next.fetch_add(1, Ordering::SeqCst);
                if let Err(failure) = call(&client, id).await {
                    failed.push((id, failure));
                }
            }
            failed
        });
    }
    let ended = tokio::time::timeout(PATIENCE, callers.join_all()).await;
    let failed = ended.unwrap_or_else(|_| panic!("calls hang: {client:?}")).concat();
    assert!(failed.is_empty(), "{} failed, the first {:?}", failed.len(), failed[0]);

    let receipts = journal.receipts();
    let calls = next.load(Ordering::SeqCst);
    assert_eq!(receipts.len() as u64, calls);
    let twice: Vec<_> = receipts
        .iter()
        .filter(|(id, times)| !repeatable(**id) && **times != 1)
        .collect();
    assert!(twice.is_empty(), "{twice:?} of {calls}");
}

fn repeatable(id: u64) -> bool {
    id.is_multiple_of(2)
}

async fn call(client: &Client, id: u64) -> Result<(), String> {
    let mut request = Request::post("/")
        .header(CALL_ID, id)
        .body(Full::<Bytes>::default())
        .unwrap();
    request.extensions_mut().insert(Idempotent(repeatable(id)));
    let answer = client.request(request).await.map_err(|error| format!("{error:?}"))?;
    if answer.status() != 200 {
        return Err(answer.status().to_string());
    }
    answer
        .into_body()
        .collect()
        .await
        .map_err(|error| format!("{error:?}"))?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_survive_servers_that_say_goodbye_twice() {
    calls_survive(Farewell::Twice).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_survive_servers_that_reset_their_connections_after_the_last_answer() {
    calls_survive(Farewell::TwiceAndReset).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_survive_servers_that_close_at_once_after_one_goodbye() {
    calls_survive(Farewell::Once).await;
}
