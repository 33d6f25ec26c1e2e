//! Every endpoint the resolver names, its phase and its connection; from it each new rotation is cut.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::berth::{Berth, Growth};
use super::entry::{Bar, Bars, Entry, Place, Seat, Tenure, routed};
use super::lane::Lane;
use super::open::Failure;
use super::outlier::Tally;
use super::own_side::{Heard, heard};
use super::rotation::{Connected, Rotation, Standing};
use super::slot::Slot;
use super::{Pool, Trouble};
use crate::client::event::{Cause, EndpointEvent, EndpointStatus, Phase};
use crate::client::policy::Policy;
use crate::client::resolve::Endpoint;
use crate::clock;

#[derive(Debug, Default)]
pub(crate) struct Roster {
    entries: BTreeMap<SocketAddr, Entry>,
    tenures: u64,
    /// When the rotation of a large service may be cut again.
    rested_at: Option<Instant>,
    /// When it is to be, because something changed before that.
    overdue_at: Option<Instant>,
}

/// With so many endpoints, and not fewer, a rotation is not cut for each change: that would be quadratic in their number.
const MANY: usize = 256;

/// Of the time, a large service's rotations take one part in so many to cut.
const REST: u32 = 10;

impl Roster {
    /// The connections of each endpoint that has any.
    pub(super) fn lanes_by_endpoint(&self) -> impl Iterator<Item = impl Iterator<Item = &Arc<Lane>>> {
        let connected = self.entries.values().filter(|entry| entry.lanes().next().is_some());
        connected.map(Entry::lanes)
    }

    pub(crate) fn snapshot(&self) -> Vec<EndpointStatus> {
        let status = |(peer, entry): (&SocketAddr, &Entry)| EndpointStatus {
            peer: *peer,
            phase: entry.phase,
            cause: entry.cause,
            since: entry.since,
            connections: entry.lanes().count(),
            in_flight: entry.lanes().map(|lane| lane.in_flight()).sum(),
            rtt: entry.lanes().find_map(|lane| lane.connection().handshake_rtt()),
            last_evidence: entry.evidence,
            time_saved: entry.saved,
        };
        self.entries.iter().map(status).collect()
    }

    /// The endpoint, if its tenure is not over.
    fn entry(&mut self, peer: SocketAddr, tenure: Tenure) -> Option<&mut Entry> {
        self.entries.get_mut(&peer).filter(|entry| entry.tenure == tenure)
    }

    /// Where each endpoint is.
    pub(super) fn phases(&self) -> impl Iterator<Item = Phase> {
        self.entries.values().map(|entry| entry.phase)
    }

    fn rotation(&self, policy: &dyn Policy, now: Instant) -> Rotation {
        let connected = self.entries.values().filter_map(|entry| {
            let standing = match entry.phase {
                Phase::Ready => Standing::Ready,
                Phase::Suspect | Phase::Ejected => Standing::Suspect,
                Phase::Draining => Standing::Draining,
                _ => return None,
            };
            Some(Connected {
                standing,
                endpoint: &entry.endpoint,
                since: entry.serving_since.unwrap_or(entry.since),
                berth: Berth::of(entry.best_lanes().cloned(), entry.growth.clone())?,
            })
        });
        Rotation::of(connected.collect(), self.entries.len(), policy, now)
    }
}

impl Pool {
    /// A new endpoint. Calls that find all its connections full say so to `growth`.
    pub(super) fn join(&self, endpoint: Endpoint, growth: Option<Arc<Growth>>, tally: Option<Arc<Tally>>) -> Tenure {
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
            places: Vec::new(),
            growth,
            tally,
            bars: Bars::default(),
            evidence: None,
            saved: Duration::ZERO,
            endpoint,
        };
        roster.entries.insert(entry.endpoint.address(), entry);
        self.telemetry.endpoint(None, Phase::Idle, Cause::Resolved);
        // It takes no calls yet, but with it suspects may be too many to be left out.
        if !self.rotation.load().is_empty() {
            self.cut(&mut roster, now);
        }
        tenure
    }

    /// The resolver says something else of an endpoint than before. Its connection stays.
    pub(super) fn redescribe(&self, endpoint: Endpoint) {
        let mut roster = self.roster();
        if let Some(entry) = roster.entries.get_mut(&endpoint.address())
            && entry.endpoint != endpoint
        {
            entry.endpoint = endpoint;
            self.cut(&mut roster, clock::now());
        }
    }

    /// The endpoint is no longer named; its connections are returned.
    pub(super) fn leave(&self, peer: SocketAddr) -> Vec<Arc<Lane>> {
        let mut roster = self.roster();
        let Some(entry) = roster.entries.remove(&peer) else {
            return Vec::new();
        };
        let now = clock::now();
        self.cut(&mut roster, now);
        self.tell(peer, entry.phase, Phase::Removed, Cause::Removed, now);
        entry.lanes().cloned().collect()
    }

    /// Whether nobody is heard of many, for who may hold a lock of the feed and does not wait for this one: then it is not known.
    pub(super) fn is_nobody_heard(&self) -> bool {
        let roster = self.roster.try_lock();
        roster.is_ok_and(|roster| heard(&roster) == Heard::NobodyOfMany)
    }

    /// Up to `count` other endpoints, whichever.
    pub(super) fn others(&self, peer: SocketAddr, count: usize) -> Vec<SocketAddr> {
        let mut others: Vec<_> = self.roster().entries.keys().copied().filter(|it| *it != peer).collect();
        fastrand::shuffle(&mut others);
        others.truncate(count);
        others
    }

    /// Moves a connection of an endpoint to `phase`, and with it perhaps the endpoint. Nothing happens when its tenure is
    /// over.
    pub(super) fn enter(
        &self,
        peer: SocketAddr,
        (tenure, seat): (Tenure, Seat),
        phase: Phase,
        Failure { cause, source }: Failure,
        lane: Option<Arc<Lane>>,
    ) {
        let mut roster = self.roster();
        let now = clock::now();
        let Some(entry) = roster.entry(peer, tenure) else {
            return;
        };
        let to = entry.seat(seat, Place { phase, lane });
        let alone = entry.places.len() == 1;
        let from = std::mem::replace(&mut entry.phase, to);
        // What becomes of one connection of many is no event of the endpoint's.
        let moved = from != to || alone;
        if moved {
            entry.note(to, cause, now);
        }
        match to {
            Phase::Ready => entry.serving_since = entry.serving_since.or(Some(now)),
            Phase::Evicted => entry.serving_since = None,
            _ => {}
        }
        if routed(from) || routed(to) {
            self.cut(&mut roster, now);
        }
        if moved {
            self.tell(peer, from, to, cause, now);
        }
        drop(roster);
        if matches!(phase, Phase::Evicted | Phase::Draining) {
            self.troubled(Trouble::Endpoint { peer, cause, source });
        }
    }

    /// Sets or lifts a bar. Returns whether it is as asked now: an outlier stays in while too many are out already.
    pub(super) fn bar(&self, peer: SocketAddr, tenure: Tenure, bar: Bar, set: bool) -> bool {
        let mut roster = self.roster();
        let now = clock::now();
        if (bar, set) == (Bar::Outlier, true) {
            let ejected = roster.entries.values().filter(|entry| entry.bars.outlier).count();
            let known = roster.entries.len();
            let outliers = self.settings.outliers;
            if outliers.is_none_or(|it| ejected >= it.most_ejected(known)) {
                return false;
            }
        }
        let Some(entry) = roster.entry(peer, tenure) else {
            return false;
        };
        match bar {
            Bar::Unwell => entry.bars.unwell = set,
            Bar::Outlier => entry.bars.outlier = set,
        }
        let to = entry.judged();
        let from = std::mem::replace(&mut entry.phase, to);
        if from != to {
            let cause = match (bar, set) {
                (Bar::Outlier, true) => Cause::Outlier,
                (Bar::Unwell, true) => Cause::Unwell,
                (_, false) => Cause::Readmitted,
            };
            entry.note(to, cause, now);
            // Back after an ejection it is treated as new: policies that start slowly do.
            entry.serving_since = (to == Phase::Ready).then_some(now);
            self.cut(&mut roster, now);
            self.tell(peer, from, to, cause, now);
        }
        true
    }

    /// Evidence ended a dial, and so much of its time was left.
    pub(super) fn saved(&self, peer: SocketAddr, tenure: Tenure, time: Duration) {
        self.telemetry.saved(time);
        let mut roster = self.roster();
        if let Some(entry) = roster.entry(peer, tenure) {
            entry.saved += time;
        }
    }

    /// How many endpoints there are.
    pub(super) fn known(&self) -> usize {
        self.roster().entries.len()
    }

    /// The tallies of all endpoints.
    pub(super) fn tallies(&self) -> Vec<Arc<Tally>> {
        self.roster()
            .entries
            .values()
            .filter_map(|entry| entry.tally.clone())
            .collect()
    }

    /// A stream of an endpoint for a question about its health, on a connection that is not full.
    pub(super) fn slot_of(&self, peer: SocketAddr) -> Option<Slot> {
        self.roster().entries.get(&peer)?.best_lanes().find_map(Slot::of)
    }

    /// Something is wrong: remembered for calls that find nobody, and a reason to ask the resolver.
    pub(super) fn troubled(&self, trouble: Trouble) {
        let resolver_itself = matches!(trouble, Trouble::Resolver(_));
        *self.last_trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(trouble);
        if !resolver_itself {
            self.trouble.notify_one();
        }
    }

    /// Cuts a new rotation whenever the last one has gone stale, or one is overdue. Cancel safe.
    pub(super) async fn keep_fresh(&self) {
        loop {
            let changed = self.perishable.notified();
            let stale_at = self.rotation.load().stale_at();
            let overdue_at = self.roster().overdue_at;
            tokio::select! {
                () = changed => {}
                () = clock::reached(stale_at.into_iter().chain(overdue_at).min()) => {
                    self.cut(&mut self.roster(), clock::now());
                }
            }
        }
    }

    /// Lets calls go by how things stand now; a large service's as soon as the last rotation was cut long enough ago.
    fn cut(&self, roster: &mut Roster, now: Instant) {
        if let Some(rested_at) = roster.rested_at
            && now < rested_at
            && roster.entries.len() >= MANY
            && !self.rotation.load().is_empty()
        {
            if roster.overdue_at.replace(rested_at).is_none() {
                self.perishable.notify_one();
            }
            return;
        }
        let rotation = roster.rotation(&*self.settings.policy, now);
        let (empty, perishable) = (rotation.is_empty(), rotation.stale_at().is_some());
        self.rotation.store(Arc::new(rotation));
        let done = clock::now();
        roster.rested_at = Some(done + REST * done.saturating_duration_since(now));
        roster.overdue_at = None;
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
        tracing::debug!(%peer, %from, %to, %cause, "endpoint");
        self.telemetry.endpoint(Some(from), to, cause);
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
