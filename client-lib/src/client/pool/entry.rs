//! What the roster knows of one endpoint: where each of its connections is, and from them where the endpoint is.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::berth::Growth;
use super::lane::Lane;
use super::outlier::Tally;
use crate::client::event::{Cause, Phase};
use crate::client::resolve::Endpoint;

/// Tells one stay of an address in the roster from a later one of the same address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tenure(pub(super) u64);

/// One of an endpoint's connections, by its number: 0 is there as long as the endpoint is, the others come and go with it.
pub(crate) type Seat = usize;

/// What is known of one of an endpoint's connections.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) phase: Phase,
    pub(super) lane: Option<Arc<Lane>>,
}

/// An endpoint during one stay in the roster.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) tenure: Tenure,
    /// That of its best connection.
    pub(super) phase: Phase,
    pub(super) cause: Cause,
    pub(super) since: Instant,
    pub(super) endpoint: Endpoint,
    /// Since when it serves; gone with an eviction.
    pub(super) serving_since: Option<Instant>,
    /// By seat.
    pub(super) places: Vec<Place>,
    pub(super) growth: Option<Arc<Growth>>,
    pub(super) tally: Option<Arc<Tally>>,
    pub(super) bars: Bars,
    pub(super) evidence: Option<(Cause, Instant)>,
    pub(super) saved: Duration,
}

/// What keeps an endpoint that is ready out of rotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Bars {
    pub(super) outlier: bool,
    pub(super) unwell: bool,
}

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bar {
    Outlier,
    Unwell,
}

impl Entry {
    pub(super) fn lanes(&self) -> impl Iterator<Item = &Arc<Lane>> {
        self.places.iter().filter_map(|place| place.lane.as_ref())
    }

    /// Of its connections the best ones.
    pub(super) fn best_lanes(&self) -> impl Iterator<Item = &Arc<Lane>> {
        let best = self.places.iter().map(|place| rank(place.phase)).min();
        let there = self.places.iter().filter(move |place| Some(rank(place.phase)) == best);
        there.filter_map(|place| place.lane.as_ref())
    }

    /// Notes where one of its connections is now, and says where the endpoint is.
    pub(super) fn seat(&mut self, seat: Seat, place: Place) -> Phase {
        while self.places.len() <= seat {
            self.places.push(Place {
                phase: Phase::Idle,
                lane: None,
            });
        }
        self.places[seat] = place;
        self.judged()
    }

    /// Why it is in `phase` now.
    pub(super) fn note(&mut self, phase: Phase, cause: Cause, now: Instant) {
        self.cause = cause;
        self.since = now;
        if matches!(
            phase,
            Phase::Suspect | Phase::Draining | Phase::Ejected | Phase::Evicted
        ) {
            self.evidence = Some((cause, now));
        }
    }

    /// Where the endpoint is: with its best connection, unless it is barred.
    pub(super) fn judged(&self) -> Phase {
        let phases = self.places.iter().map(|place| place.phase);
        match phases.min_by_key(|phase| rank(*phase)) {
            Some(Phase::Ready) if self.bars != Bars::default() => Phase::Ejected,
            best => best.unwrap_or(Phase::Idle),
        }
    }
}

/// Whether endpoints in this phase may be in the rotation.
pub(super) fn routed(phase: Phase) -> bool {
    matches!(phase, Phase::Ready | Phase::Ejected | Phase::Suspect | Phase::Draining)
}

/// The lower, the more use an endpoint is.
fn rank(phase: Phase) -> u8 {
    match phase {
        Phase::Ready | Phase::Ejected => 0,
        Phase::Suspect => 1,
        Phase::Draining => 2,
        Phase::Probation => 3,
        Phase::Connecting => 4,
        Phase::Evicted => 5,
        Phase::Idle | Phase::Removed => 6,
    }
}
