//! The workload over one channel.

use std::error::Error as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ginepro::LoadBalancedChannel;
use http::uri::PathAndQuery;
use tokio::task::JoinSet;
use tonic::client::Grpc;
use tonic::codec::ProstCodec;
use tonic::{Request, Status};

use crate::contract::{Call, Environment, Line, monotonic_ns, say, told_to_go};

/// The number of calls that pods do not count.
const WARM_UP: u64 = u64::MAX;

/// How long the connections may take to open.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long to wait where no pod can be called yet.
const AGAIN: Duration = Duration::from_millis(20);

/// `CallRequest` of `demo.proto`.
#[derive(Clone, PartialEq, prost::Message)]
struct CallRequest {
    #[prost(uint64, tag = "1")]
    id: u64,
}

/// `CallResponse` of `demo.proto`.
#[derive(Clone, PartialEq, prost::Message)]
struct CallResponse {
    #[prost(string, tag = "1")]
    pod: String,
}

/// Warms the channel up, waits until it is told to go, applies the load; what became of each call.
pub async fn drive(channel: LoadBalancedChannel, told: &Environment) -> anyhow::Result<Vec<Line>> {
    warm_up(&channel, told.pods).await?;
    say(&[Line::Ready])?;
    told_to_go().await?;
    say(&[Line::Started { at_ns: monotonic_ns() }])?;
    let mut callers = JoinSet::new();
    let mut traces = Vec::new();
    for caller in 0..told.concurrency {
        let trace = Arc::default();
        traces.push(Arc::clone(&trace));
        let ids = caller * told.requests..(caller + 1) * told.requests;
        callers.spawn(ask(channel.clone(), ids, trace));
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
async fn warm_up(channel: &LoadBalancedChannel, pods: usize) -> anyhow::Result<()> {
    let mut seen = std::collections::HashSet::new();
    let mut last = String::from("no call ended");
    let warming = async {
        while seen.len() < pods {
            let mut calls = JoinSet::new();
            for _ in 0..10 * pods {
                calls.spawn(call(channel.clone(), WARM_UP));
            }
            while let Some(answer) = calls.join_next().await {
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
async fn ask(channel: LoadBalancedChannel, ids: std::ops::Range<u64>, trace: Arc<Mutex<Vec<Call>>>) {
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
        let answer = call(channel.clone(), id).await;
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

/// One call; the pod that answered.
async fn call(channel: LoadBalancedChannel, id: u64) -> Result<String, Status> {
    let mut client = Grpc::new(channel);
    client
        .ready()
        .await
        .map_err(|error| Status::unavailable(format!("not ready: {error}")))?;
    let path = PathAndQuery::from_static("/obit.lab.v1.Demo/Call");
    let codec = ProstCodec::<CallRequest, CallResponse>::default();
    let answer = client.unary(Request::new(CallRequest { id }), path, codec).await?;
    Ok(answer.into_inner().pod)
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
