//! A pod is killed as an OOM kill or a deletion without grace does it: its process dies at once, its address a little
//! later, and what knows the address is told last of all.

use std::time::Duration;

use super::{Action, Scenario, Step};

/// One second after the start a pod is SIGKILLed.
pub const KILL: Scenario = Scenario {
    name: "kill",
    summary: "1 s after the start a pod is SIGKILLed; 0.2 s it refuses, then it is silent, after 20 s unreachable",
    steps: &[
        Step {
            at: Duration::from_millis(1_000),
            action: Action::Kill,
        },
        Step {
            at: Duration::from_millis(1_200),
            action: Action::Silence,
        },
        Step {
            at: Duration::from_millis(21_000),
            action: Action::RejectHostUnreachable,
        },
    ],
};
