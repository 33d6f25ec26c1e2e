//! Every endpoint the resolver names, its phase and its connection; from it each new rotation is cut.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError};

use tokio::time::Instant;

use super::lane::Lane;
use super::rotation::{Rotation, Standing};
use super::{Pool, Trouble};
use crate::client::event::{Cause, EndpointEvent, EndpointStatus, Phase};
use crate::client::policy::Candidates;
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

    fn rotation(&self) -> Rotation {
        let connected: Vec<_> = self
            .entries
            .values()
            .filter_map(|entry| {
                let standing = match entry.phase {
                    Phase::Ready => Standing::Ready,
                    Phase::Suspect => Standing::Suspect,
                    Phase::Draining => Standing::Draining,
                    _ => return None,
                };
                Some((standing, entry.lane.clone()?))
            })
            .collect();
        Rotation::of(&connected, self.entries.len())
    }
}

impl Pool {
    /// A new endpoint.
    pub(super) fn join(&self, peer: SocketAddr) -> Tenure {
        let mut roster = self.roster();
        roster.tenures += 1;
        let tenure = Tenure(roster.tenures);
        let entry = Entry {
            tenure,
            phase: Phase::Idle,
            cause: Cause::Resolved,
            since: clock::now(),
            lane: None,
        };
        roster.entries.insert(peer, entry);
        self.cut(&roster);
        tenure
    }

    /// The endpoint is no longer named; its connection, if it has one, is returned.
    pub(super) fn leave(&self, peer: SocketAddr) -> Option<Arc<Lane>> {
        let mut roster = self.roster();
        let entry = roster.entries.remove(&peer)?;
        self.cut(&roster);
        self.tell(peer, entry.phase, Phase::Removed, Cause::Removed, clock::now());
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
        entry.lane = lane;
        let routed = |phase| matches!(phase, Phase::Ready | Phase::Suspect | Phase::Draining);
        if routed(from) || routed(phase) {
            self.cut(&roster);
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

    fn cut(&self, roster: &Roster) {
        let rotation = roster.rotation();
        let empty = rotation.is_empty();
        self.rotation.store(Arc::new(rotation));
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
