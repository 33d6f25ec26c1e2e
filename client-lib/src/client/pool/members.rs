//! From the resolver's sets to endpoint tasks: one starts for each address that is to be connected to, one ends for each
//! that is not any more.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;

use super::Pool;
use super::confirm::Confirm;
use super::ending::{drain, silent};
use super::endpoint;
use super::judge::compare;
use super::outlier::Tally;
use crate::client::error::Trouble;
use crate::client::event::Phase;
use crate::client::resolve::{Endpoint, Resolve, Sets, Update};
use crate::clock;

/// How long an endpoint that stood in for another one stays when it is needed no more: as long as a crash loop takes, so
/// that it does not come and go with it.
const LINGER: Duration = Duration::from_secs(30);

/// Runs the resolver and the endpoint tasks until dropped; with it they all end. Calls in flight go on.
pub(crate) async fn govern(pool: Arc<Pool>, resolver: Box<dyn Resolve>) {
    let (updates, mut sets) = mpsc::channel(1);
    let mut events = pool.settings.subset.map(|_| pool.events());
    let mut members = Members::new(pool.clone());
    members
        .tasks
        .spawn(resolver.run(Sets::new(updates, members.pool.trouble.clone())));
    members.tasks.spawn({
        let pool = members.pool.clone();
        async move { pool.keep_fresh().await }
    });
    members.tasks.spawn({
        let pool = members.pool.clone();
        async move { pool.watch_use().await }
    });
    if let Some(outliers) = pool.settings.outliers {
        members.tasks.spawn(compare(pool, outliers));
    }
    loop {
        let changed = async {
            match &mut events {
                // Whatever it was, and however many were missed: what counts is how things stand now.
                Some(events) => drop(events.recv().await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            Some(update) = sets.recv() => match update {
                Update::Endpoints(endpoints) => members.named = named(endpoints),
                // The endpoints known stay: an old address may still serve, no address never does.
                Update::Failed(error) => {
                    tracing::warn!(%error, "resolver failed; keeping the endpoints known");
                    members.pool.troubled(Trouble::Resolver(error));
                    continue;
                }
            },
            // The resolver has said its last word (a fixed list, for one), or an endpoint's task was ended.
            Some(_) = members.tasks.join_next() => continue,
            () = changed => {}
            () = clock::reached(members.review_at) => {}
        }
        members.reconcile(clock::now());
    }
}

/// By address; what is said last of one counts.
fn named(endpoints: Vec<Endpoint>) -> HashMap<SocketAddr, Endpoint> {
    let normalised = endpoints.into_iter().map(Endpoint::normalised);
    normalised.map(|endpoint| (endpoint.address(), endpoint)).collect()
}

/// Whom the resolver names, and whom of them a task takes care of.
struct Members {
    pool: Arc<Pool>,
    named: HashMap<SocketAddr, Endpoint>,
    connected: HashMap<SocketAddr, Member>,
    tasks: JoinSet<()>,
    /// When somebody who is needed no more may go.
    review_at: Option<Instant>,
}

struct Member {
    task: AbortHandle,
    /// When it was last one of those to connect to.
    chosen_at: Instant,
}

impl Members {
    fn new(pool: Arc<Pool>) -> Self {
        Self {
            pool,
            named: HashMap::new(),
            connected: HashMap::new(),
            tasks: JoinSet::new(),
            review_at: None,
        }
    }

    /// Starts and ends tasks until they are those of the endpoints to connect to.
    fn reconcile(&mut self, now: Instant) {
        let chosen = self.chosen();
        self.review_at = None;
        let mut gone = Vec::new();
        for (peer, member) in &mut self.connected {
            if chosen.as_ref().is_none_or(|chosen| chosen.contains(peer)) {
                member.chosen_at = now;
            }
            let leaves_at = member.chosen_at + LINGER;
            if !self.named.contains_key(peer) || leaves_at <= now {
                gone.push(*peer);
            } else if member.chosen_at < now {
                self.review_at = Some(self.review_at.map_or(leaves_at, |at| at.min(leaves_at)));
            }
        }
        for peer in gone {
            self.end(peer);
        }
        for (peer, endpoint) in &self.named {
            if self.connected.contains_key(peer) {
                self.pool.redescribe(endpoint.clone());
            } else if chosen.as_ref().is_none_or(|chosen| chosen.contains(peer)) {
                let growth = self.pool.settings.speech.protocol.may_be_http1().then(Arc::default);
                let tally = self.pool.settings.outliers.map(|it| Arc::new(Tally::new(&it)));
                let tenure = self.pool.join(endpoint.clone(), growth.clone(), tally.clone());
                let task = self
                    .tasks
                    .spawn(endpoint::live(self.pool.clone(), *peer, tenure, growth, tally));
                self.connected.insert(*peer, Member { task, chosen_at: now });
            }
        }
    }

    /// The endpoints to connect to; `None` for all.
    fn chosen(&self) -> Option<HashSet<SocketAddr>> {
        let subset = self.pool.settings.subset?;
        let is_out = |phase| matches!(phase, Phase::Evicted | Phase::Probation | Phase::Draining);
        let statuses = self.pool.snapshot();
        let out = statuses.iter().filter(|status| is_out(status.phase));
        let addresses: Vec<_> = self.named.keys().copied().collect();
        Some(subset.chosen(&addresses, &out.map(|status| status.peer).collect()))
    }

    fn end(&mut self, peer: SocketAddr) {
        if let Some(member) = self.connected.remove(&peer) {
            member.task.abort();
        }
        let confirm = Arc::new(Confirm::new(self.pool.clone(), peer));
        for lane in self.pool.leave(peer) {
            let silent = silent(lane.clone(), confirm.clone());
            tokio::spawn(drain(self.pool.clone(), lane, silent));
        }
    }
}
