//! Where sightings come in: takes records in order, puts each into the context of its dial and its namespace, and hands
//! them to the hub, whichever thread looks.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::source::{Look, Records};
use crate::clock;
use crate::home::Homes;
use crate::hub::Hub;
use crate::sighting::{Deadline, MonotonicNs, Sighting};
use crate::stall::{Bounds, WaitingRoom};

/// How often losses are looked at when nothing else makes it necessary.
const LOSS_CHECK: Duration = Duration::from_secs(1);

/// What the reader's threads share. One at a time takes and acts, so that sightings stay in order.
pub(super) struct Intake<R> {
    hub: Arc<Hub>,
    state: Mutex<State<R>>,
}

struct State<R> {
    records: R,
    dials: WaitingRoom,
    homes: Homes,
    sightings: Vec<Sighting>,
    loss_check: MonotonicNs,
}

impl<R: Records> Intake<R> {
    pub(super) fn new(records: R, hub: Arc<Hub>, bounds: Bounds) -> Self {
        let state = State {
            records,
            dials: WaitingRoom::new(bounds),
            homes: Homes::default(),
            sightings: Vec::with_capacity(1_024),
            loss_check: clock::monotonic() + LOSS_CHECK,
        };
        Self {
            hub,
            state: Mutex::new(state),
        }
    }

    fn state(&self) -> MutexGuard<'_, State<R>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Acts on a deadline that has passed. Everything known before it is taken in before anything is concluded from what
    /// is missing.
    pub(super) fn judge(&self) {
        let state = &mut *self.state();
        let now = clock::monotonic();
        // A storm is taken in pieces: an answer given before `now` may still lie there.
        while let Some(last) = state.take_in(&self.hub) {
            if last >= now {
                break;
            }
        }
        if self.hub.note_losses(now, state.records.lost()) {
            tracing::warn!("sightings were lost: dials in progress are not judged");
            state.dials.clear();
        }
        state.dials.expire(now, &mut state.sightings);
        self.hub.observe(now, &state.sightings);
        state.sightings.clear();
        self.hub.expire(now);
        if now >= state.loss_check {
            self.hub.note_left_out(state.records.left_out());
            state.loss_check = now + LOSS_CHECK;
        }
    }
}

impl<R: Records> Look for Intake<R> {
    fn look(&self) -> bool {
        self.state().take_in(&self.hub).is_some()
    }

    /// A dial is judged the moment its time is up; the rest can wait a little.
    fn deadline(&self) -> Deadline {
        let state = self.state();
        let rest = self.hub.next_deadline();
        let rest = rest.map_or(state.loss_check, |at| at.min(state.loss_check));
        match state.dials.next_deadline() {
            Some(at) if at <= rest => Deadline { at, sharp: true },
            _ => Deadline { at: rest, sharp: false },
        }
    }
}

impl<R: Records> State<R> {
    /// Takes some records and acts on them: subscribers first. Returns the time of the last one.
    fn take_in(&mut self, hub: &Hub) -> Option<MonotonicNs> {
        if !self.records.take(&mut self.sightings) {
            return None;
        }
        let last = self.sightings.last().map(|sighting| sighting.at);
        for sighting in &mut self.sightings {
            *sighting = self.dials.in_context(*sighting);
        }
        self.homes.expand(&mut self.sightings);
        hub.observe(clock::monotonic(), &self.sightings);
        for sighting in self.sightings.drain(..) {
            self.dials.observe(&sighting);
        }
        last
    }
}
