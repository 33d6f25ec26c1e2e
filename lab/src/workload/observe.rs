//! What the workload's client tells of itself while it works: the endpoints it moved, and how late the monitor's notices
//! were when a watcher in the same process handled them.

use serde::{Deserialize, Serialize};

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

/// Everything observed in a run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observations {
    /// In the order they were announced.
    pub transitions: Vec<Transition>,
    /// From the kernel's event to the notice handled in the client, nanoseconds, one a notice.
    pub event_to_client_ns: Vec<u64>,
}

impl Observations {
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
            event_to_client_ns: vec![],
        };
        assert_eq!(
            observations.evicted_ns("198.18.1.1:8080".parse().unwrap(), 10),
            Some(12)
        );
        assert_eq!(observations.evicted_ns("198.18.1.3:8080".parse().unwrap(), 10), None);
    }
}
