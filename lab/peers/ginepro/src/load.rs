//! The workload over one channel.

use std::error::Error as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ginepro::LoadBalancedChannel;
use tokio::task::JoinSet;
use tonic::Status;

use crate::call::{Calls, call};
use crate::contract::{Call, Environment, Line, monotonic_ns, say, told_to_go};

/// The number of calls that pods do not count.
const WARM_UP: u64 = u64::MAX;

/// How long the connections may take to open.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long to wait where no pod can be called yet.
const AGAIN: Duration = Duration::from_millis(20);

/// Warms the channel up, waits until it is told to go, applies the load; what became of each call.
pub async fn drive(channel: LoadBalancedChannel, told: &Environment) -> anyhow::Result<Vec<Line>> {
    let Some(calls) = Calls::named(&told.calls) else {
        let why = format!("does not do {} calls", told.calls);
        return Ok(vec![Line::Unable { why }]);
    };
    warm_up(&channel, calls, told.pods).await?;
    say(&[Line::Ready])?;
    told_to_go().await?;
    say(&[Line::Started { at_ns: monotonic_ns() }])?;
    let mut callers = JoinSet::new();
    let mut traces = Vec::new();
    for caller in 0..told.concurrency {
        let trace = Arc::default();
        traces.push(Arc::clone(&trace));
        let ids = caller * told.requests..(caller + 1) * told.requests;
        callers.spawn(ask(channel.clone(), calls, ids, trace));
    }
    let all = async { while callers.join_next().await.is_some() {} };
    let stopped = tokio::time::timeout(told.bound, all).await.is_err();
    callers.shutdown().await;
    let at_ns = monotonic_ns();
    let calls = traces
        .iter()
        .flat_map(|trace| trace.lock().unwrap_or_else(PoisonError::into_inner).clone());
    let mut lines: Vec<_> = calls.map(Line::Call).collect();
    lines.push(Line::Done { at_ns, stopped });
    Ok(lines)
}

/// Calls until every pod has answered.
async fn warm_up(channel: &LoadBalancedChannel, calls: Calls, pods: usize) -> anyhow::Result<()> {
    let mut seen = std::collections::HashSet::new();
    let mut last = String::from("no call ended");
    let warming = async {
        while seen.len() < pods {
            let mut asked = JoinSet::new();
            for _ in 0..10 * pods {
                asked.spawn(call(channel.clone(), calls, WARM_UP));
            }
            while let Some(answer) = asked.join_next().await {
                match answer? {
                    Ok(pod) => _ = seen.insert(pod),
                    Err(status) => last = describe(&status),
                }
            }
            tokio::time::sleep(AGAIN).await;
        }
        anyhow::Ok(())
    };
    match tokio::time::timeout(PATIENCE, warming).await {
        Ok(warm) => warm,
        Err(_) => anyhow::bail!(
            "warm-up: only {} of {pods} pods answered within {PATIENCE:?}; last failure: {last}",
            seen.len()
        ),
    }
}

/// One caller: its calls, one after the other.
async fn ask(channel: LoadBalancedChannel, calls: Calls, ids: std::ops::Range<u64>, trace: Arc<Mutex<Vec<Call>>>) {
    for id in ids {
        let mut told = Call {
            id,
            start_ns: monotonic_ns(),
            end_ns: None,
            pod: None,
            error: None,
        };
        // A caller stopped at the bound leaves its last call so.
        trace.lock().unwrap_or_else(PoisonError::into_inner).push(told.clone());
        let answer = call(channel.clone(), calls, id).await;
        told.end_ns = Some(monotonic_ns());
        match answer {
            Ok(pod) => told.pod = Some(pod),
            Err(status) => told.error = Some(describe(&status)),
        }
        if let Some(last) = trace.lock().unwrap_or_else(PoisonError::into_inner).last_mut() {
            *last = told;
        }
    }
}

/// A failure with its causes.
fn describe(status: &Status) -> String {
    let mut text = format!("{}: {}", status.code(), status.message());
    let mut cause = status.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
