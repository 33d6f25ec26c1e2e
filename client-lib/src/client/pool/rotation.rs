//! Which endpoints take calls: the ready ones, and below the panic floor the suspects too. Pure.

use std::sync::Arc;

use super::lane::Lane;
use crate::client::policy::Candidates;

/// What the pool thinks of an endpoint that has a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    Ready,
    Suspect,
}

/// Whether suspects stay in: when fewer than half of all endpoints are ready, the suspicion is more likely wrong, or
/// the rest too weak to carry everything (Envoy's panic threshold has the same default).
pub(crate) fn panics(ready: usize, known: usize) -> bool {
    ready * 2 < known
}

/// A snapshot of the connections that take calls. Never changed, only replaced.
#[derive(Debug, Default)]
pub(crate) struct Rotation {
    lanes: Box<[Arc<Lane>]>,
}

impl Rotation {
    /// `connected`: the endpoints that have a connection; `known`: how many endpoints there are at all.
    pub(crate) fn of(connected: &[(Standing, Arc<Lane>)], known: usize) -> Self {
        let ready = connected
            .iter()
            .filter(|(standing, _)| *standing == Standing::Ready)
            .count();
        let panics = panics(ready, known);
        let lanes = connected
            .iter()
            .filter(|(standing, _)| panics || *standing == Standing::Ready)
            .map(|(_, lane)| lane.clone())
            .collect();
        Self { lanes }
    }

    pub(crate) fn lanes(&self) -> &[Arc<Lane>] {
        &self.lanes
    }
}

impl Candidates for Rotation {
    fn len(&self) -> usize {
        self.lanes.len()
    }

    fn in_flight(&self, index: usize) -> usize {
        self.lanes.get(index).map_or(0, |lane| lane.in_flight())
    }
}

#[cfg(test)]
mod tests {
    use super::panics;

    #[test]
    fn suspects_stay_in_only_below_half() {
        assert!(!panics(5, 5));
        assert!(!panics(3, 5));
        assert!(panics(2, 5));
        assert!(!panics(1, 2));
        assert!(panics(0, 1));
        assert!(!panics(0, 0));
    }
}
