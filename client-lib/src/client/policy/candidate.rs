//! What a policy may know of an endpoint in rotation.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{Average, Load, Loads};
use crate::client::resolve::Endpoint;

/// An endpoint in rotation. Cheap to clone; clones see the same calls in flight.
#[derive(Debug, Clone)]
pub struct Candidate {
    address: SocketAddr,
    weight: u32,
    pub(super) load: Loads,
    zone: Option<Arc<str>>,
    zone_hints: Arc<[Arc<str>]>,
    since: Instant,
}

impl Candidate {
    /// `endpoint`, without calls, in rotation since `since`. For tests of policies: the client makes its own.
    #[must_use]
    pub fn new(endpoint: &Endpoint, since: Instant) -> Self {
        Self::of(endpoint, since, Loads::default())
    }

    pub(crate) fn of(endpoint: &Endpoint, since: Instant, load: Loads) -> Self {
        Self {
            address: endpoint.address(),
            weight: endpoint.weight(),
            load,
            zone: endpoint.zone().cloned(),
            zone_hints: endpoint.shared_zone_hints(),
            since,
        }
    }

    /// The same endpoint with this many calls in flight. For tests of policies.
    #[must_use]
    pub fn serving(self, calls: usize) -> Self {
        Self {
            load: Load::of(calls, self.load.average().cloned()).into(),
            ..self
        }
    }

    /// The same endpoint, which at `at` took `latency` to answer and has not been asked since. For tests of policies.
    #[must_use]
    pub fn answering(self, latency: Duration, at: Instant) -> Self {
        let average = Average::new(Duration::from_secs(10), at);
        average.answered(latency, at);
        Self {
            load: Load::of(self.in_flight(), Some(average)).into(),
            ..self
        }
    }

    /// The same endpoint with another weight, as policies that wrap others show it to them.
    #[must_use]
    pub fn weighing(self, weight: u32) -> Self {
        Self { weight, ..self }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its share of the calls in relation to the others', at least 1.
    ///
    /// The resolver's 0 means "nothing unless nobody else": such an endpoint is no candidate, or one among its like.
    #[must_use]
    pub fn weight(&self) -> u32 {
        self.weight.max(1)
    }

    /// Where it runs, as far as the resolver knows.
    #[must_use]
    pub fn zone(&self) -> Option<&str> {
        self.zone.as_deref()
    }

    /// The zones whose clients are meant to use it; none where that is not said.
    #[must_use]
    pub fn zone_hints(&self) -> &[Arc<str>] {
        &self.zone_hints
    }

    /// When it came into rotation, for the first time or after an eviction.
    #[must_use]
    pub fn since(&self) -> Instant {
        self.since
    }

    /// How many calls it is serving for this client right now.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.load.in_flight()
    }

    /// Whether all the streams it grants are taken.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.load.is_full()
    }

    /// How long it lately took to answer, in nanoseconds: a moving average that jumps up at once and comes down with time. 0
    /// while nothing is known, or nothing [measured](super::Policy::measures).
    #[must_use]
    pub fn latency_ns(&self, now: Instant) -> f32 {
        self.load.average().map_or(0.0, |average| average.at(now))
    }

    /// One call more in flight.
    #[cfg(test)]
    pub(crate) fn begin(&self) {
        self.load.begin();
    }

    /// Whether it carries less than `other`, each in relation to its weight.
    #[must_use]
    pub(crate) fn less_busy_than(&self, other: &Self) -> bool {
        let busy = |load: usize, weight: u32| (load as u64).saturating_mul(weight.into());
        busy(self.in_flight(), other.weight()) < busy(other.in_flight(), self.weight())
    }
}
