//! The pool: which endpoints there are, how each stands, and a free stream for the next call.
//!
//! ```text
//! resolver ──sets──▶ members ──one task each──▶ endpoint ──phase──▶ roster ──snapshot──▶ rotation ──▶ slot of a call
//! ```

mod berth;
mod check;
mod confirm;
pub(crate) mod driver;
mod ending;
mod endpoint;
mod entry;
mod exchange;
mod extras;
mod gauge;
mod handshakes;
mod inquiry;
mod judge;
mod lane;
mod members;
mod open;
mod outlier;
mod own_side;
mod protocol;
mod queue;
mod roster;
mod rotation;
mod settle;
mod slot;
mod slumber;
mod stopwatch;
mod subset;
#[cfg(feature = "tls")]
mod tls;
mod tried;
mod watchdog;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use http::request::Parts;
use http::uri::{Authority, Scheme};
use tokio::sync::{Notify, broadcast};
use tokio::time::Instant;

pub use check::HealthCheck;
pub(crate) use members::govern;
pub(crate) use open::Speech;
pub use outlier::OutlierDetection;
pub use protocol::Protocol;
pub(crate) use slot::{Severance, Slot, Unanswered};
pub use subset::Subset;
#[cfg(feature = "tls")]
pub(crate) use tls::Tls;
pub(crate) use tried::Tried;

use super::call::Classifier;
use super::error::Trouble;
use super::event::{Cause, EndpointEvent, EndpointStatus, Phase};
use super::policy::{Call, Environment, Policy};
use super::retry::Budget;
use super::telemetry::{Telemetry, Waits};
use super::{Error, RetryBudget};
use crate::clock;
use crate::connection::DialOptions;
use crate::feed::Feed;
use berth::Berth;
use handshakes::Handshakes;
use own_side::Outages;
use queue::Queue;
use roster::Roster;
use rotation::Rotation;
use slumber::Slumber;

/// What policies are not to have of their own.
struct Outside;

impl Environment for Outside {
    fn now(&self) -> Instant {
        clock::now()
    }

    /// From a generator of this thread, so that threads share nothing.
    fn random(&self) -> u64 {
        fastrand::u64(..)
    }
}

/// How many endpoint events a slow listener may lag behind before it misses some.
const EVENTS_KEPT: usize = 1024;

/// What a client is built with.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) scheme: Scheme,
    pub(crate) authority: Authority,
    pub(crate) feed: Feed,
    pub(crate) policy: Arc<dyn Policy>,
    /// All endpoints, if none is given.
    pub(crate) subset: Option<Subset>,
    pub(crate) classifier: Classifier,
    pub(crate) budget: RetryBudget,
    pub(crate) connect_timeout: Duration,
    pub(crate) drain_timeout: Duration,
    pub(crate) queue_limit: usize,
    pub(crate) queue_deadline: Duration,
    pub(crate) dial: DialOptions,
    pub(crate) speech: Speech,
    pub(crate) connections: Connections,
    pub(crate) max_age: Option<Duration>,
    pub(crate) idle_timeout: Option<Duration>,
    pub(crate) hedge_after: Option<Duration>,
    pub(crate) outliers: Option<OutlierDetection>,
    pub(crate) check: Option<HealthCheck>,
}

/// How many connections an endpoint has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Connections {
    /// With HTTP/2: so many, always.
    pub(crate) http2: usize,
    /// With HTTP/1.1: as calls need them, so many at most.
    pub(crate) http1: usize,
}

/// All that calls and endpoint tasks share.
#[derive(Debug)]
pub(crate) struct Pool {
    settings: Settings,
    telemetry: Telemetry,
    slumber: Slumber,
    born: Instant,
    /// How fast what is measured for the policy is forgotten, where it wants anything measured.
    decay: Option<Duration>,
    budget: Budget,
    queue: Arc<Queue>,
    rotation: ArcSwap<Rotation>,
    roster: Mutex<Roster>,
    handshakes: Mutex<Handshakes>,
    events: broadcast::Sender<EndpointEvent>,
    /// A call waits and nobody is in rotation: whoever is out should be tried now.
    demand: Notify,
    /// A rotation was cut that will be stale with time.
    perishable: Notify,
    /// An endpoint went out: the resolver may know of new ones.
    trouble: Arc<Notify>,
    last_trouble: Mutex<Option<Trouble>>,
    /// Whether this side was at fault, and when that was found out.
    own_side: tokio::sync::Mutex<Option<(Instant, bool)>>,
    outages: Outages,
}

impl Pool {
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            telemetry: Telemetry::new(settings.authority.as_str()),
            slumber: Slumber::default(),
            born: clock::now(),
            decay: settings.policy.measures(),
            budget: Budget::new(settings.budget),
            queue: Arc::new(Queue::new(settings.queue_limit, settings.queue_deadline)),
            rotation: ArcSwap::default(),
            roster: Mutex::default(),
            handshakes: Mutex::default(),
            events: broadcast::Sender::new(EVENTS_KEPT),
            demand: Notify::new(),
            perishable: Notify::new(),
            trouble: Arc::default(),
            last_trouble: Mutex::default(),
            own_side: tokio::sync::Mutex::default(),
            outages: Outages::default(),
            settings,
        }
    }

    pub(crate) fn scheme(&self) -> &Scheme {
        &self.settings.scheme
    }

    pub(crate) fn authority(&self) -> &Authority {
        &self.settings.authority
    }

    pub(crate) fn classifier(&self) -> &Classifier {
        &self.settings.classifier
    }

    pub(crate) fn budget(&self) -> &Budget {
        &self.budget
    }

    pub(crate) fn telemetry(&self) -> &Telemetry {
        &self.telemetry
    }

    /// After what time without an answer, or a suspicion before, a call that may be repeated is sent to a second endpoint.
    pub(crate) fn hedge_after(&self) -> Option<Duration> {
        self.settings.hedge_after
    }

    /// Time since the pool's birth.
    pub(crate) fn age(&self) -> Duration {
        clock::now().saturating_duration_since(self.born)
    }

    pub(crate) fn events(&self) -> broadcast::Receiver<EndpointEvent> {
        self.events.subscribe()
    }

    pub(crate) fn snapshot(&self) -> Vec<EndpointStatus> {
        self.roster().snapshot()
    }

    pub(crate) fn waiting(&self) -> usize {
        self.queue.waiting()
    }

    /// A stream for a call, not of an endpoint in `tried` while there is another. Waits in the queue when none is free.
    pub(crate) async fn slot(&self, head: &Parts, tried: &Tried) -> Result<Slot, Error> {
        // Nobody overtakes those who wait.
        if self.queue.waiting() == 0
            && let Some(slot) = self.free_slot(head, tried)
        {
            return Ok(slot);
        }
        let _waits = Waits::new(&self.telemetry);
        let place = self.queue.enter().map_err(|waiting| Error::Overloaded {
            waiting,
            waited: Duration::ZERO,
        })?;
        if self.rotation.load().is_empty() {
            self.demand.notify_waiters();
        }
        let deadline = self.queue.deadline();
        match tokio::time::timeout(deadline, place.until(|| self.free_slot(head, tried))).await {
            Ok(slot) => Ok(slot),
            Err(_) if self.rotation.load().is_empty() => Err(Error::NoEndpoint {
                waited: deadline,
                last: self.last_trouble.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            }),
            Err(_) => Err(Error::Overloaded {
                waiting: self.queue.waiting(),
                waited: deadline,
            }),
        }
    }

    /// A stream for a second attempt of a call, of an endpoint not in `tried`, if one is free and nobody waits for it.
    pub(crate) fn other_slot(&self, head: &Parts, tried: &Tried) -> Option<Slot> {
        if self.queue.waiting() > 0 {
            return None;
        }
        self.free_slot(head, tried).filter(|slot| !tried.contains(slot.peer()))
    }

    fn free_slot(&self, head: &Parts, tried: &Tried) -> Option<Slot> {
        let rotation = self.rotation.load();
        let berths = rotation.berths();
        if berths.is_empty() {
            return None;
        }
        let call = Call::new(head, &Outside).after(tried.peers());
        let mut choice = 0;
        // Twice, so that the share of an endpoint that is full or tried falls to its neighbour only when two in a row are.
        for _ in 0..2 {
            choice = rotation.pick(&call);
            let berth = &berths[choice];
            if !tried.contains(berth.peer())
                && let Some(slot) = berth.slot()
            {
                return Some(slot);
            }
        }
        let mut others = (1..=berths.len()).map(|step| &berths[(choice + step) % berths.len()]);
        let fresh = others
            .clone()
            .filter(|berth| !tried.contains(berth.peer()))
            .find_map(Berth::slot);
        fresh.or_else(|| others.find_map(Berth::slot))
    }

    fn handshakes(&self) -> std::sync::MutexGuard<'_, Handshakes> {
        self.handshakes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn outages(&self) -> &Outages {
        &self.outages
    }

    fn roster(&self) -> std::sync::MutexGuard<'_, Roster> {
        self.roster.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Pool {
    /// A gauge of endpoints counts those of clients there are.
    fn drop(&mut self) {
        let roster = self.roster.get_mut().unwrap_or_else(PoisonError::into_inner);
        for phase in roster.phases() {
            self.telemetry.endpoint(Some(phase), Phase::Removed, Cause::Removed);
        }
    }
}
