//! A scenario's events for one victim, and what everybody else learns of them: DNS goes on naming a pod for a while after it is
//! gone, the Kubernetes API tells at once what was ordered and nothing of what befell. Pure.

use std::time::Duration;

use super::{Action, Event, Scenario, Target};
use crate::dns::TTL_SECONDS;

/// Something to do at a time after the workload's start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// When.
    pub at: Duration,
    /// What.
    pub chore: Chore,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chore {
    /// The script's own; never on [`Target::Victim`], but on the pod that it is.
    Event(Event),
    /// DNS forgets a pod.
    Forget(usize),
}

/// The steps of `scenario` in the order of time, with the pod `victim` as its victim.
#[must_use]
pub fn timeline(scenario: &Scenario, victim: usize) -> Vec<Step> {
    let events: Vec<_> = scenario
        .events
        .iter()
        .map(|event| match event.on {
            Target::Victim => Event {
                on: Target::Pod(victim),
                ..*event
            },
            _ => *event,
        })
        .collect();
    let mut steps: Vec<_> = events
        .iter()
        .map(|event| Step {
            at: event.at,
            chore: Chore::Event(*event),
        })
        .collect();
    for (number, event) in events.iter().enumerate() {
        let Target::Pod(pod) = event.on else { continue };
        if !(event.is_death() || event.action == Action::Terminate) {
            continue;
        }
        let at = event.at + Duration::from_secs(TTL_SECONDS.into());
        let later = events[number + 1..].iter().take_while(|later| later.at < at);
        // Whoever is there again is named, and whoever dies once more is forgotten after that.
        let superseded = |later: &Event| {
            later.on == event.on
                && (later.is_death() || matches!(later.action, Action::Start | Action::Succeed(_) | Action::Restore))
        };
        if !later.into_iter().any(superseded) {
            steps.push(Step {
                at,
                chore: Chore::Forget(pod),
            });
        }
    }
    steps.sort_by_key(|step| step.at);
    steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::builtin;

    fn forgotten(name: &str) -> Vec<(u64, usize)> {
        let steps = timeline(builtin(name).unwrap(), 3);
        assert!(steps.is_sorted_by_key(|step| step.at));
        steps
            .iter()
            .filter_map(|step| match step.chore {
                Chore::Forget(pod) => Some((step.at.as_secs(), pod)),
                Chore::Event(event) => {
                    assert_ne!(event.on, Target::Victim);
                    None
                }
            })
            .collect()
    }

    #[test]
    fn dns_forgets_the_dead_and_the_terminated_half_a_minute_later_and_once() {
        assert_eq!(forgotten("steady"), []);
        assert_eq!(forgotten("kill"), [(31, 3)]);
        assert_eq!(forgotten("blackhole"), [(31, 3)]);
        assert_eq!(forgotten("graceful"), [(31, 3)]);
        let rolled: Vec<_> = forgotten("rolling").into_iter().map(|(_, pod)| pod).collect();
        assert_eq!(rolled, [0, 1, 2, 3, 4]);
    }

    #[test]
    fn who_is_there_again_is_not_forgotten() {
        for name in ["flap", "reuse", "slow", "partition", "loss"] {
            assert_eq!(forgotten(name), [], "{name}");
        }
    }
}
