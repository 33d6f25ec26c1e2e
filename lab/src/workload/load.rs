//! The article's workload: a number of callers, each asking again as soon as it has its answer, through one generated
//! client, whatever transport it stands on.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tonic::body::Body;
use tonic::client::GrpcService;

use super::call::{Ask, call};
use super::classes::describe;
use super::{Call, Classes, Outcome};
use crate::clock::monotonic_ns;
use crate::pod::WARM_UP;
use crate::pod::proto::demo_client::DemoClient;
use crate::scenario::Calls;

/// What tonic's generated client can stand on, for callers on any thread.
pub trait Transport:
    GrpcService<Body, ResponseBody: TransportBody, Error: Into<tonic::codegen::StdError>, Future: Send>
    + Clone
    + Send
    + Sync
    + 'static
{
}

impl<T> Transport for T where
    T: GrpcService<Body, ResponseBody: TransportBody, Error: Into<tonic::codegen::StdError>, Future: Send>
        + Clone
        + Send
        + Sync
        + 'static
{
}

/// The response body of a [`Transport`].
pub trait TransportBody:
    http_body::Body<Data = bytes::Bytes, Error: Into<tonic::codegen::StdError> + Send> + Send + 'static
{
}

impl<B> TransportBody for B where
    B: http_body::Body<Data = bytes::Bytes, Error: Into<tonic::codegen::StdError> + Send> + Send + 'static
{
}

/// How much is asked, and how.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// Callers.
    pub concurrency: u64,
    /// Calls each caller makes.
    pub requests: u64,
    /// What a call is.
    pub calls: Calls,
    /// Whether calls are marked as idempotent for clients that look at it.
    pub idempotent: bool,
    /// When a run that has not ended is stopped.
    pub bound: Duration,
}

/// What became of a load.
#[derive(Debug)]
pub struct Done {
    /// When the last call had ended, or the run was stopped.
    pub stop_ns: u64,
    /// Every call made, with its number.
    pub calls: Vec<(u64, Call)>,
    /// The error texts, by class.
    pub classes: Vec<String>,
    /// Whether the run was stopped at the bound.
    pub stopped: bool,
}

/// Calls until each of `pods` pods has answered, so that every client starts with its connections open.
///
/// # Errors
/// When one has not answered within `patience`.
pub(super) async fn warm_up<T: Transport>(
    client: &DemoClient<T>,
    calls: Calls,
    pods: usize,
    patience: Duration,
) -> anyhow::Result<()> {
    let mut seen = vec![false; pods];
    let mut last = String::from("no call ended");
    let warming = async {
        while seen.contains(&false) {
            let ask = Ask {
                calls,
                id: WARM_UP,
                idempotent: true,
            };
            let mut asked = JoinSet::new();
            for _ in 0..10 * pods {
                asked.spawn(call(client.clone(), ask));
            }
            while let Some(answer) = asked.join_next().await {
                match answer? {
                    Ok(pod) => {
                        if let Some(seen) = seen.get_mut(usize::from(pod)) {
                            *seen = true;
                        }
                    }
                    Err(status) => last = describe(&status),
                }
            }
        }
        anyhow::Ok(())
    };
    match tokio::time::timeout(patience, warming).await {
        Ok(result) => result,
        Err(_) => anyhow::bail!(
            "warm-up: only {} of {pods} pods answered within {patience:?}; last failure: {last}",
            seen.iter().filter(|seen| **seen).count()
        ),
    }
}

/// Applies `load` to `client`. Returns when all calls have ended or at the bound.
pub(super) async fn apply<T: Transport>(client: &DemoClient<T>, load: Load) -> Done {
    let classes = Arc::new(Mutex::new(Classes::default()));
    let mut callers = JoinSet::new();
    let mut traces = Vec::new();
    for caller in 0..load.concurrency {
        let trace = Arc::new(Mutex::new(Vec::with_capacity(
            usize::try_from(load.requests).unwrap_or(0),
        )));
        traces.push(trace.clone());
        let ids = caller * load.requests..(caller + 1) * load.requests;
        callers.spawn(ask(client.clone(), ids, load, trace, classes.clone()));
    }
    let all = async { while callers.join_next().await.is_some() {} };
    let stopped = tokio::time::timeout(load.bound, all).await.is_err();
    callers.shutdown().await;
    let stop_ns = monotonic_ns();
    let mut calls = Vec::with_capacity(usize::try_from(load.concurrency * load.requests).unwrap_or(0));
    for (caller, trace) in (0..).zip(traces) {
        let trace = trace.lock().unwrap_or_else(PoisonError::into_inner);
        calls.extend((caller * load.requests..).zip(trace.iter().copied()));
    }
    let classes = std::mem::take(&mut *classes.lock().unwrap_or_else(PoisonError::into_inner)).into_texts();
    Done {
        stop_ns,
        calls,
        classes,
        stopped,
    }
}

/// One caller.
async fn ask<T: Transport>(
    client: DemoClient<T>,
    ids: std::ops::Range<u64>,
    load: Load,
    trace: Arc<Mutex<Vec<Call>>>,
    classes: Arc<Mutex<Classes>>,
) {
    for id in ids {
        let start_ns = monotonic_ns();
        let record = |call: Call, first: bool| {
            let mut trace = trace.lock().unwrap_or_else(PoisonError::into_inner);
            if first {
                trace.push(call);
            } else if let Some(last) = trace.last_mut() {
                *last = call;
            }
        };
        // Hung until it ends: a caller stopped at the bound leaves its last call so.
        record(
            Call {
                start_ns,
                end_ns: start_ns,
                outcome: Outcome::Hung,
            },
            true,
        );
        let ask = Ask {
            calls: load.calls,
            id,
            idempotent: load.idempotent,
        };
        let answer = call(client.clone(), ask).await;
        let end_ns = monotonic_ns();
        let outcome = match answer {
            Ok(pod) => Outcome::Answered(pod),
            Err(status) => Outcome::Failed(
                classes
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .class(&describe(&status)),
            ),
        };
        record(
            Call {
                start_ns,
                end_ns,
                outcome,
            },
            false,
        );
    }
}
