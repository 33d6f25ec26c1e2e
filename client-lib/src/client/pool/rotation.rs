//! Which endpoints take calls: the ready ones, and below the panic floor the suspects too. Pure.

use std::sync::Arc;

use tokio::time::Instant;

use super::berth::Berth;
use crate::client::policy::{Call, Candidate, Picker, Policy};
use crate::client::resolve::Endpoint;

/// What the pool thinks of an endpoint that has a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Standing {
    Ready,
    Suspect,
    Draining,
}

/// The worst standing that still takes calls, of `known` endpoints of which these are connected.
///
/// Suspects stay in when fewer than half of all endpoints are ready: then the suspicion is more likely wrong, or the rest
/// too weak to carry everything (Envoy's panic threshold has the same default). Endpoints that are going away serve when
/// nobody else does: most answer to their last second.
pub(crate) fn worst_taken(connected: &[Standing], known: usize) -> Standing {
    let count = |wanted| connected.iter().filter(|standing| **standing == wanted).count();
    let (ready, suspect) = (count(Standing::Ready), count(Standing::Suspect));
    if ready * 2 >= known && ready > 0 {
        Standing::Ready
    } else if ready + suspect > 0 {
        Standing::Suspect
    } else {
        Standing::Draining
    }
}

/// An endpoint that has a connection.
#[derive(Debug)]
pub(crate) struct Connected<'a> {
    pub(crate) standing: Standing,
    pub(crate) endpoint: &'a Endpoint,
    /// When it became ready, for the first time or after an eviction.
    pub(crate) since: Instant,
    pub(crate) berth: Berth,
}

/// A snapshot of the endpoints that take calls, and the policy prepared for it. Never changed, only replaced.
#[derive(Debug, Default)]
pub(crate) struct Rotation {
    berths: Box<[Berth]>,
    /// `None` while there is nobody to pick.
    picker: Option<Box<dyn Picker>>,
}

impl Rotation {
    /// `connected`: the endpoints that have a connection; `known`: how many endpoints there are at all.
    pub(crate) fn of(mut connected: Vec<Connected<'_>>, known: usize, policy: &dyn Policy, now: Instant) -> Self {
        let standings: Vec<_> = connected.iter().map(|one| one.standing).collect();
        let worst = worst_taken(&standings, known);
        connected.retain(|one| one.standing <= worst);
        if connected.iter().any(|one| one.endpoint.weight() > 0) {
            connected.retain(|one| one.endpoint.weight() > 0);
        }
        let candidate = |one: &Connected<'_>| Candidate::of(one.endpoint, one.since, one.berth.loads());
        let candidates: Arc<[_]> = connected.iter().map(candidate).collect();
        Self {
            picker: (!candidates.is_empty()).then(|| policy.prepare(candidates, now)),
            berths: connected.into_iter().map(|one| one.berth).collect(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.berths.is_empty()
    }

    /// When the policy is to be prepared anew.
    pub(crate) fn stale_at(&self) -> Option<Instant> {
        self.picker.as_ref()?.stale_at()
    }

    /// The index of the berth to use, of which there is one.
    pub(crate) fn pick(&self, call: &Call<'_>) -> usize {
        self.picker.as_ref().map_or(0, |picker| picker.pick(call)) % self.berths.len().max(1)
    }

    pub(crate) fn berths(&self) -> &[Berth] {
        &self.berths
    }
}

#[cfg(test)]
mod tests {
    use super::Standing::{Draining, Ready, Suspect};
    use super::worst_taken;

    #[test]
    fn suspects_take_calls_only_below_half() {
        for (connected, known, expected) in [
            (vec![Ready; 5], 5, Ready),
            (vec![Ready, Ready, Ready, Suspect, Suspect], 5, Ready),
            (vec![Ready, Ready, Suspect, Suspect, Suspect], 5, Suspect),
            (vec![Ready, Suspect], 2, Ready),
            (vec![Suspect], 1, Suspect),
            // The others are evicted: not connected, and yet known.
            (vec![Ready, Suspect], 5, Suspect),
        ] {
            assert_eq!(worst_taken(&connected, known), expected, "{connected:?} of {known}");
        }
    }

    #[test]
    fn who_is_going_away_serves_when_nobody_else_does() {
        assert_eq!(worst_taken(&[Draining, Draining], 2), Draining);
        assert_eq!(worst_taken(&[Suspect, Draining], 2), Suspect);
        assert_eq!(worst_taken(&[Ready, Draining], 9), Suspect);
    }
}
