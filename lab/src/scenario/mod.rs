//! What befalls a pod during a run: each scenario is a short list of times and actions, read from a file, carried out by the
//! orchestrator and recorded as it really happened.

mod builtin;
mod file;

use std::time::Duration;

pub use builtin::{builtin, builtins};
pub use file::{Fault, ScenarioError, load};
use serde::Deserialize;

/// What is done to the victim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// SIGKILL to the pod's process. Its namespace stays: its kernel closes the connections and refuses new ones.
    Kill,
    /// Nothing goes in or out any more, and nobody is told.
    Silence,
    /// Whoever dials the pod is told that there is no such host.
    RejectHostUnreachable,
}

impl Action {
    /// Whether the pod answers no call any more.
    #[must_use]
    pub fn is_death(self) -> bool {
        matches!(self, Self::Kill | Self::Silence)
    }
}

/// One action at a time after the workload's start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// When, after the start.
    pub at: Duration,
    /// What.
    pub action: Action,
}

/// A scenario: a name and a script. The first event is the victim's death.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scenario {
    /// What it is called on the command line and in reports.
    pub name: String,
    /// What happens, in one sentence.
    pub summary: String,
    /// In the order of time; empty if nothing happens.
    pub events: Vec<Event>,
}

impl Scenario {
    /// When the victim dies, after the start.
    #[must_use]
    pub fn death(&self) -> Option<Event> {
        self.events.first().copied()
    }

    /// When, after the start, dialling the victim may first be answered by "no route to host".
    #[must_use]
    pub fn unreachable_from(&self) -> Option<Duration> {
        self.events
            .iter()
            .find(|event| event.action == Action::RejectHostUnreachable)
            .map(|event| event.at)
    }
}
