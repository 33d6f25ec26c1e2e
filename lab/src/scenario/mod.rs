//! What befalls a pod during a run: each scenario is a short list of times and actions, carried out by the orchestrator
//! and recorded as it really happened.

mod blackhole;
mod kill;
mod steady;

use std::time::Duration;

pub use blackhole::BLACKHOLE;
pub use kill::KILL;
pub use steady::STEADY;

/// What is done to the victim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// SIGKILL to the pod's process. Its namespace stays: its kernel closes the connections and refuses new ones.
    Kill,
    /// Nothing goes in or out any more, and nobody is told.
    Silence,
    /// Whoever dials the pod is told that there is no such host.
    RejectHostUnreachable,
}

/// One action at a time after the workload's start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// When, after the start.
    pub at: Duration,
    /// What.
    pub action: Action,
}

/// A scenario: a name and a script. The first step is the victim's death.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scenario {
    /// What it is called on the command line and in reports.
    pub name: &'static str,
    /// What happens, in one sentence.
    pub summary: &'static str,
    /// In the order of time; empty if nothing happens.
    pub steps: &'static [Step],
}

impl Scenario {
    /// When the victim dies, after the start.
    #[must_use]
    pub fn death(&self) -> Option<Step> {
        self.steps.first().copied()
    }

    /// When, after the start, dialling the victim may first be answered by "no route to host".
    #[must_use]
    pub fn unreachable_from(&self) -> Option<Duration> {
        self.steps
            .iter()
            .find(|step| step.action == Action::RejectHostUnreachable)
            .map(|step| step.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_in_the_order_of_time_and_begin_with_the_death() {
        for scenario in [STEADY, KILL, BLACKHOLE] {
            assert!(scenario.steps.is_sorted_by_key(|step| step.at), "{}", scenario.name);
            assert!(
                scenario
                    .death()
                    .is_none_or(|step| step.action != Action::RejectHostUnreachable)
            );
        }
    }

    #[test]
    fn a_killed_pod_refuses_then_is_silent_then_unreachable() {
        let script: Vec<_> = KILL
            .steps
            .iter()
            .map(|step| (step.at.as_millis(), step.action))
            .collect();
        assert_eq!(
            script,
            [
                (1_000, Action::Kill),
                (1_200, Action::Silence),
                (21_000, Action::RejectHostUnreachable)
            ]
        );
        assert_eq!(KILL.unreachable_from(), Some(Duration::from_secs(21)));
    }

    #[test]
    fn a_blackholed_pod_is_never_killed() {
        assert!(BLACKHOLE.steps.iter().all(|step| step.action == Action::Silence));
        assert_eq!(BLACKHOLE.unreachable_from(), None);
    }
}
