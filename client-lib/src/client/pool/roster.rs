//! Every endpoint the resolver names, its phase and its connection; from it each new rotation is cut.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError};

use tokio::time::Instant;

use super::lane::Lane;
use super::rotation::{Connected, Rotation, Standing};
use super::{Pool, Trouble};
use crate::client::event::{Cause, EndpointEvent, EndpointStatus, Phase};
use crate::client::policy::Policy;
use crate::client::resolve::Endpoint;
use crate::clock;

/// Tells one stay of an address in the roster from a later one of the same address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tenure(u64);

#[derive(Debug)]
struct Entry {
    tenure: Tenure,
    phase: Phase,
    cause: Cause,
    since: Instant,
    endpoint: Endpoint,
    /// Since when it serves; gone with an eviction.
    serving_since: Option<Instant>,
    lane: Option<Arc<Lane>>,
}

#[derive(Debug, Default)]
pub(crate) struct Roster {
    entries: BTreeMap<SocketAddr, Entry>,
    tenures: u64,
}

impl Roster {
    pub(crate) fn snapshot(&self) -> Vec<EndpointStatus> {
        let status = |(peer, entry): (&SocketAddr, &Entry)| EndpointStatus {
            peer: *peer,
            phase: entry.phase,
            cause: entry.cause,
            since: entry.since,
            in_flight: entry.lane.as_ref().map_or(0, |lane| lane.in_flight()),
        };
        self.entries.iter().map(status).collect()
    }

    fn rotation(&self, policy: &dyn Policy, now: Instant) -> Rotation {
        let connected = self.entries.values().filter_map(|entry| {
            let standing = match entry.phase {
                Phase::Ready => Standing::Ready,
                Phase::Suspect => Standing::Suspect,
                Phase::Draining => Standing::Draining,
                _ => return None,
            };
            Some(Connected {
                standing,
                endpoint: &entry.endpoint,
                since: entry.serving_since.unwrap_or(entry.since),
                lane: entry.lane.as_ref()?,
            })
        });
        Rotation::of(connected.collect(), self.entries.len(), policy, now)
    }
}

impl Pool {
    /// A new endpoint.
    pub(super) fn join(&self, endpoint: Endpoint) -> Tenure {
        let now = clock::now();
        let mut roster = self.roster();
        roster.tenures += 1;
        let tenure = Tenure(roster.tenures);
        let entry = Entry {
            tenure,
            phase: Phase::Idle,
            cause: Cause::Resolved,
            since: now,
            serving_since: None,
            lane: None,
            endpoint,
        };
        roster.entries.insert(entry.endpoint.address(), entry);
        self.cut(&roster, now);
        tenure
    }

    /// The resolver says something else of an endpoint than before. Its connection stays.
    pub(super) fn redescribe(&self, endpoint: Endpoint) {
        let mut roster = self.roster();
        if let Some(entry) = roster.entries.get_mut(&endpoint.address())
            && entry.endpoint != endpoint
        {
            entry.endpoint = endpoint;
            self.cut(&roster, clock::now());
        }
    }

    /// The endpoint is no longer named; its connection, if it has one, is returned.
    pub(super) fn leave(&self, peer: SocketAddr) -> Option<Arc<Lane>> {
        let mut roster = self.roster();
        let entry = roster.entries.remove(&peer)?;
        let now = clock::now();
        self.cut(&roster, now);
        self.tell(peer, entry.phase, Phase::Removed, Cause::Removed, now);
        entry.lane
    }

    /// Moves an endpoint to `phase`, with the connection it has there. Nothing happens when its tenure is over.
    pub(super) fn enter(&self, peer: SocketAddr, tenure: Tenure, phase: Phase, cause: Cause, lane: Option<Arc<Lane>>) {
        let mut roster = self.roster();
        let now = clock::now();
        let Some(entry) = roster.entries.get_mut(&peer).filter(|entry| entry.tenure == tenure) else {
            return;
        };
        let from = std::mem::replace(&mut entry.phase, phase);
        entry.cause = cause;
        entry.since = now;
        match phase {
            Phase::Ready => entry.serving_since = entry.serving_since.or(Some(now)),
            Phase::Evicted => entry.serving_since = None,
            _ => {}
        }
        entry.lane = lane;
        let routed = |phase| matches!(phase, Phase::Ready | Phase::Suspect | Phase::Draining);
        if routed(from) || routed(phase) {
            self.cut(&roster, now);
        }
        self.tell(peer, from, phase, cause, now);
        drop(roster);
        if matches!(phase, Phase::Evicted | Phase::Draining) {
            self.troubled(Trouble::Endpoint { peer, cause });
        }
    }

    /// Something is wrong: remembered for calls that find nobody, and a reason to ask the resolver.
    pub(super) fn troubled(&self, trouble: Trouble) {
        let resolver_itself = matches!(trouble, Trouble::Resolver(_));
        *self.last_trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(trouble);
        if !resolver_itself {
            self.trouble.notify_one();
        }
    }

    /// Cuts a new rotation whenever the last one has gone stale. Cancel safe.
    pub(super) async fn keep_fresh(&self) {
        loop {
            let stale_at = self.rotation.load().stale_at();
            let replaced = self.perishable.notified();
            match stale_at {
                None => replaced.await,
                Some(at) => tokio::select! {
                    () = replaced => {}
                    () = tokio::time::sleep_until(at) => self.cut(&self.roster(), clock::now()),
                },
            }
        }
    }

    fn cut(&self, roster: &Roster, now: Instant) {
        let rotation = roster.rotation(&*self.settings.policy, now);
        let (empty, perishable) = (rotation.is_empty(), rotation.stale_at().is_some());
        self.rotation.store(Arc::new(rotation));
        if perishable {
            self.perishable.notify_one();
        }
        if empty {
            if self.queue.waiting() > 0 {
                self.demand.notify_waiters();
            }
        } else {
            self.queue.many_free();
        }
    }

    fn tell(&self, peer: SocketAddr, from: Phase, to: Phase, cause: Cause, at: Instant) {
        tracing::debug!(%peer, ?from, ?to, %cause, "endpoint");
        // Nobody listening is no error.
        let _ = self.events.send(EndpointEvent {
            peer,
            from,
            to,
            cause,
            at,
        });
    }
}
