//! The tasks that judge endpoints by their answers: to calls, and to questions of our own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast;

use super::Pool;
use super::check::Wellness;
use super::entry::{Bar, Tenure};
use super::outlier::{OutlierDetection, Tally};
use crate::client::event::{EndpointEvent, Phase};
use crate::clock;

/// Nobody is judged more often.
const LEAST: Duration = Duration::from_millis(1);

/// Judges one endpoint, where that is asked for. Lives until dropped.
pub(super) async fn judged(pool: &Pool, peer: SocketAddr, tenure: Tenure, tally: Option<&Tally>) {
    if pool.settings.outliers.is_none() && pool.settings.check.is_none() {
        return std::future::pending().await;
    }
    // In a box, for most clients have no use for it.
    Box::pin(async {
        tokio::select! {
            () = eject(pool, peer, tenure, tally) => {}
            () = check(pool, peer, tenure) => {}
        }
    })
    .await;
}

/// Takes one endpoint out for a time whenever it turns out to be an outlier. Lives until dropped.
async fn eject(pool: &Pool, peer: SocketAddr, tenure: Tenure, tally: Option<&Tally>) {
    let (Some(outliers), Some(tally)) = (pool.settings.outliers, tally) else {
        return std::future::pending().await;
    };
    let mut times = 0_u32;
    let mut readmitted = clock::now();
    loop {
        tally.tripped().await;
        // Forgiven as slowly as it was held against it.
        let good = clock::now().saturating_duration_since(readmitted);
        let forgiven = good.as_nanos() / outliers.base_ejection.as_nanos().max(1);
        times = times.saturating_sub(u32::try_from(forgiven).unwrap_or(u32::MAX));
        if !pool.bar(peer, tenure, Bar::Outlier, true) {
            continue;
        }
        times = times.saturating_add(1);
        tokio::time::sleep(outliers.ejection(times)).await;
        pool.bar(peer, tenure, Bar::Outlier, false);
        readmitted = clock::now();
    }
}

/// Finds endpoints that answer worse than the others. Lives until dropped.
pub(super) async fn compare(pool: Arc<Pool>, outliers: OutlierDetection) {
    loop {
        tokio::time::sleep(outliers.interval.max(LEAST)).await;
        let tallies = pool.tallies();
        let busy: Vec<_> = tallies
            .iter()
            .filter_map(|tally| Some((tally, tally.share(outliers.min_calls)?)))
            .collect();
        let shares: Vec<_> = busy.iter().map(|(_, share)| *share).collect();
        for ((tally, _), low) in busy.into_iter().zip(outliers.too_low(&shares)) {
            if low {
                tally.trip();
            }
        }
    }
}

/// Asks one endpoint now and then how it is. Lives until dropped.
async fn check(pool: &Pool, peer: SocketAddr, tenure: Tenure) {
    let Some(check) = &pool.settings.check else {
        return std::future::pending().await;
    };
    let mut wellness = Wellness::default();
    let mut events = pool.events();
    loop {
        // One that is not connected is asked as soon as it is; one that is busy to its last stream, later.
        match pool.slot_of(peer) {
            Some(slot) => {
                let answer = check.ask(slot, pool).await;
                if let Some(well) = wellness.hear(check, answer) {
                    pool.bar(peer, tenure, Bar::Unwell, !well);
                }
                let jitter = 0.9 + 0.2 * fastrand::f64();
                tokio::time::sleep(check.interval().mul_f64(jitter).max(LEAST)).await;
            }
            None => tokio::select! {
                () = tokio::time::sleep(check.interval().max(LEAST)) => {}
                () = becomes_ready(&mut events, peer) => {}
            },
        }
    }
}

/// Completes when the endpoint has become ready, or that may have been missed. Cancel safe.
async fn becomes_ready(events: &mut broadcast::Receiver<EndpointEvent>, peer: SocketAddr) {
    while let Ok(event) = events.recv().await {
        if event.peer == peer && event.to == Phase::Ready {
            return;
        }
    }
}
