//! A node is lost: with calls in flight, its pod vanishes from the network. No FIN, no RST, no ICMP.

use std::time::Duration;

use super::{Action, Scenario, Step};

/// One second after the start a pod falls silent, for ever.
pub const BLACKHOLE: Scenario = Scenario {
    name: "blackhole",
    summary: "1 s after the start a pod vanishes in silence, with calls in flight",
    steps: &[Step {
        at: Duration::from_millis(1_000),
        action: Action::Silence,
    }],
};
