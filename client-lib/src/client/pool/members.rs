//! From the resolver's sets to endpoint tasks: one starts for each address that appears, one ends for each that goes.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::Pool;
use super::confirm::Confirm;
use super::endpoint::{self, drain};
use crate::client::error::Trouble;
use crate::client::resolve::{Endpoint, Resolve, Sets, Update};

/// Runs the resolver and the endpoint tasks until dropped; with it they all end. Calls in flight go on.
pub(crate) async fn govern(pool: Arc<Pool>, resolver: Box<dyn Resolve>) {
    let (updates, mut sets) = mpsc::channel(1);
    let mut tasks = JoinSet::new();
    tasks.spawn(resolver.run(Sets::new(updates, pool.trouble.clone())));
    tasks.spawn({
        let pool = pool.clone();
        async move { pool.keep_fresh().await }
    });
    let mut members = HashMap::new();
    while let Some(update) = sets.recv().await {
        match update {
            Update::Endpoints(endpoints) => {
                let named = named(endpoints);
                for peer in members
                    .keys()
                    .filter(|peer| !named.contains_key(*peer))
                    .copied()
                    .collect::<Vec<_>>()
                {
                    end(&pool, peer, members.remove(&peer));
                }
                for (peer, endpoint) in named {
                    match members.entry(peer) {
                        Entry::Occupied(_) => pool.redescribe(endpoint),
                        Entry::Vacant(place) => {
                            let tenure = pool.join(endpoint);
                            let life = endpoint::Endpoint::new(pool.clone(), peer, tenure).live();
                            place.insert(tasks.spawn(life));
                        }
                    }
                }
            }
            // The endpoints known stay: an old address may still serve, no address never does.
            Update::Failed(error) => {
                tracing::warn!(%error, "resolver failed; keeping the endpoints known");
                pool.troubled(Trouble::Resolver(error));
            }
        }
    }
    // The resolver has said its last word (a fixed list, for one); the endpoints live on.
    while tasks.join_next().await.is_some() {}
}

/// By address; what is said last of one counts.
fn named(endpoints: Vec<Endpoint>) -> HashMap<SocketAddr, Endpoint> {
    let normalised = endpoints.into_iter().map(Endpoint::normalised);
    normalised.map(|endpoint| (endpoint.address(), endpoint)).collect()
}

fn end(pool: &Arc<Pool>, peer: SocketAddr, task: Option<tokio::task::AbortHandle>) {
    if let Some(task) = task {
        task.abort();
    }
    if let Some(lane) = pool.leave(peer) {
        let confirm = Arc::new(Confirm::new(pool.clone(), peer));
        tokio::spawn(drain(pool.clone(), lane, confirm));
    }
}
