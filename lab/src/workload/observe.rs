//! What the workload's client tells of itself while it works: the endpoints it moved, and how late the monitor's notices
//! were when a watcher in the same process handled them.

use serde::{Deserialize, Serialize};

/// The state of an endpoint that the client takes for dead: its calls in flight were ended.
const TAKEN_FOR_DEAD: &str = "Evicted";

/// An endpoint moved from one state to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transition {
    /// When the client announced it, `CLOCK_MONOTONIC` nanoseconds.
    pub at_ns: u64,
    /// The endpoint.
    pub peer: std::net::SocketAddr,
    /// The state it left.
    pub from: String,
    /// The state it entered.
    pub to: String,
    /// Why.
    pub reason: String,
    /// Whether it takes calls in the new state.
    pub in_rotation: bool,
}

/// A notice of the monitor. Times are `CLOCK_MONOTONIC` nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// When the kernel made the observation.
    pub kernel_ns: u64,
    /// When the watcher had it in hand.
    pub handled_ns: u64,
}

/// Everything observed in a run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observations {
    /// In the order they were announced.
    pub transitions: Vec<Transition>,
    /// The monitor's notices, as a watcher in the client's process handled them.
    pub told: Vec<Told>,
}

impl Observations {
    /// How late the notices were whose events came at or after `since_ns`. Earlier ones may have been known to the
    /// monitor before this client asked.
    pub fn lateness_ns(&self, since_ns: u64) -> impl Iterator<Item = u64> {
        let told = self.told.iter().filter(move |told| told.kernel_ns >= since_ns);
        told.map(|told| told.handled_ns.saturating_sub(told.kernel_ns))
    }

    /// The endpoints that were taken for dead, each time, and when.
    pub fn taken_for_dead(&self) -> impl Iterator<Item = (std::net::SocketAddr, u64)> {
        let dead = self.transitions.iter().filter(|moved| moved.to == TAKEN_FOR_DEAD);
        dead.map(|moved| (moved.peer, moved.at_ns))
    }

    /// When `peer` first left the rotation at or after `since_ns`.
    #[must_use]
    pub fn evicted_ns(&self, peer: std::net::SocketAddr, since_ns: u64) -> Option<u64> {
        self.transitions
            .iter()
            .find(|moved| moved.peer == peer && moved.at_ns >= since_ns && !moved.in_rotation)
            .map(|moved| moved.at_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_eviction_is_the_first_departure_of_that_peer_after_the_kill() {
        let moved = |at_ns, peer: &str, in_rotation| Transition {
            at_ns,
            peer: peer.parse().unwrap(),
            from: String::new(),
            to: String::new(),
            reason: String::new(),
            in_rotation,
        };
        let observations = Observations {
            transitions: vec![
                moved(5, "198.18.1.1:8080", false),
                moved(6, "198.18.1.1:8080", true),
                moved(11, "198.18.1.2:8080", false),
                moved(12, "198.18.1.1:8080", false),
                moved(13, "198.18.1.1:8080", false),
            ],
            told: vec![],
        };
        assert_eq!(
            observations.evicted_ns("198.18.1.1:8080".parse().unwrap(), 10),
            Some(12)
        );
        assert_eq!(observations.evicted_ns("198.18.1.3:8080".parse().unwrap(), 10), None);
    }

    #[test]
    fn notices_of_events_before_the_start_are_not_counted() {
        let told = |kernel_ns, handled_ns| Told { kernel_ns, handled_ns };
        let observations = Observations {
            transitions: vec![],
            told: vec![told(5, 500), told(10, 12), told(20, 25)],
        };
        assert_eq!(observations.lateness_ns(10).collect::<Vec<_>>(), [2, 5]);
    }
}
