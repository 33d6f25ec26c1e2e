//! Refuses runs that are not what they claim. A number from a run whose victim lived on is worse than none.

use std::time::Duration;

use super::refusal::Refusal;
use super::{Performed, absences};
use crate::scenario::{Action, Chore, Event, PODS, Scenario, Step, Target};
use crate::workload::{Call, Outcome};

/// A step may be this late: later, the scenario is another one.
const TOLERANCE: Duration = Duration::from_millis(500);

/// SIGKILL.
const KILLED: i32 = 9;

/// What is known of a run.
#[derive(Debug, Clone)]
pub struct Evidence<'a> {
    /// What was to happen.
    pub scenario: &'a Scenario,
    /// The same for its victim.
    pub steps: &'a [Step],
    /// Pods that were there at some time.
    pub pods: usize,
    /// Calls asked for.
    pub asked: u64,
    /// When the workload started.
    pub start_ns: u64,
    /// Every call.
    pub calls: &'a [Call],
    /// The error texts, by class.
    pub classes: &'a [String],
    /// Whether the run was stopped at its bound.
    pub stopped: bool,
    /// What was done.
    pub performed: &'a [Performed],
    /// Whether a monitor ran.
    pub monitor: bool,
    /// Processes that ended and were not killed by the script.
    pub died: &'a [String],
}

/// Accepts a run that is what it claims.
///
/// # Errors
/// The first reason to refuse it.
pub fn verify(evidence: &Evidence<'_>) -> Result<(), Refusal> {
    if let Some(process) = evidence.died.first() {
        return Err(Refusal::Died(process.clone()));
    }
    let made = evidence.calls.len() as u64;
    if made > evidence.asked || (made < evidence.asked && !evidence.stopped) {
        return Err(Refusal::FewerCalls {
            asked: evidence.asked,
            made,
        });
    }
    for step in evidence.performed {
        let late = Duration::from_nanos(step.until_ns.saturating_sub(step.planned_ns));
        if late > TOLERANCE {
            return Err(Refusal::Late {
                action: step.event.action,
                late_ms: milliseconds(late),
            });
        }
    }
    finished(evidence)?;
    deaths(evidence)?;
    stray(evidence)
}

/// Everything happened, but for the last thing that befalls a dead pod's address: who has long turned away need not wait for it.
fn finished(evidence: &Evidence<'_>) -> Result<(), Refusal> {
    let planned = evidence.steps.iter().filter_map(|step| match step.chore {
        Chore::Event(event) => Some(event),
        Chore::Forget(_) => None,
    });
    let mut due = planned.filter(|event| evidence.monitor || event.on != Target::Monitor);
    let Some(next) = due.nth(evidence.performed.len()) else {
        return Ok(());
    };
    if next.action == Action::RejectHostUnreachable {
        return Ok(());
    }
    let calls = evidence.calls.iter();
    let ended_ns = calls.map(|call| call.end_ns).max().unwrap_or(evidence.start_ns);
    Err(Refusal::Unfinished {
        ended_ms: milliseconds(Duration::from_nanos(ended_ns.saturating_sub(evidence.start_ns))),
        action: next.action,
        at_ms: milliseconds(next.at),
    })
}

/// Whoever died did so as planned, of what was planned, and the first with work to lose.
fn deaths(evidence: &Evidence<'_>) -> Result<(), Refusal> {
    for it in evidence.performed {
        let Event { on, action, .. } = it.event;
        if let (Target::Pod(pod), Action::Kill) = (on, action)
            && it.signal != Some(KILLED)
        {
            return Err(Refusal::Outlived(format!(
                "the process of pod-{pod} ended by signal {:?}",
                it.signal
            )));
        }
    }
    for pod in 0..evidence.pods {
        let absences = absences(evidence.performed, pod, pod < PODS);
        let undead = |call: &&Call| {
            let away = |it: &&super::Absence| !it.orderly && call.start_ns > it.since_ns && call.end_ns < it.until_ns;
            call.outcome == Outcome::Answered(u8::try_from(pod).unwrap_or(u8::MAX))
                && absences.iter().any(|it| away(&it))
        };
        let answered = evidence.calls.iter().filter(undead).count();
        if answered > 0 {
            return Err(Refusal::Outlived(format!(
                "pod-{pod} answered {answered} calls while it was not there"
            )));
        }
    }
    let death = evidence.performed.iter().find(|it| it.event.is_death());
    let lost = |death: &Performed| {
        let in_flight = |call: &Call| call.start_ns <= death.from_ns && call.end_ns > death.from_ns;
        evidence.calls.iter().any(in_flight)
    };
    if death.is_some_and(|death| !lost(death)) {
        return Err(Refusal::NothingInFlight);
    }
    Ok(())
}

/// No failure belongs to another scenario.
fn stray(evidence: &Evidence<'_>) -> Result<(), Refusal> {
    let kinds: Vec<_> = evidence.classes.iter().map(|text| Unreachable::in_text(text)).collect();
    let allowed_ns = evidence.scenario.unreachable_from().map_or(u64::MAX, |from| {
        evidence
            .start_ns
            .saturating_add(u64::try_from(from.as_nanos()).unwrap_or(u64::MAX))
    });
    for call in evidence.calls {
        let Outcome::Failed(class) = call.outcome else { continue };
        let stray = match kinds.get(usize::from(class)).copied().flatten() {
            Some(Unreachable::Network) => true,
            Some(Unreachable::Host) => call.end_ns < allowed_ns,
            None => false,
        };
        if stray {
            return Err(Refusal::Stray(evidence.classes[usize::from(class)].clone()));
        }
    }
    Ok(())
}

/// Errors that say there is no way to a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unreachable {
    /// `ENETUNREACH`: in no scenario, the lab's own network is broken.
    Network,
    /// `EHOSTUNREACH`: only once the scenario says so.
    Host,
}

impl Unreachable {
    fn in_text(text: &str) -> Option<Self> {
        let text = text.to_ascii_lowercase();
        if text.contains("network is unreachable") || text.contains("os error 101") {
            Some(Self::Network)
        } else if text.contains("no route to host") || text.contains("os error 113") {
            Some(Self::Host)
        } else {
            None
        }
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{builtin, timeline};

    const MS: u64 = 1_000_000;

    fn call(start_ms: u64, end_ms: u64, outcome: Outcome) -> Call {
        Call {
            start_ns: start_ms * MS,
            end_ns: end_ms * MS,
            outcome,
        }
    }

    fn performed(action: Action, planned_ms: u64, until_ms: u64) -> Performed {
        Performed {
            event: Event {
                at: Duration::from_millis(planned_ms),
                on: Target::Pod(1),
                action,
            },
            signal: (action == Action::Kill).then_some(KILLED),
            planned_ns: planned_ms * MS,
            from_ns: planned_ms * MS,
            until_ns: until_ms * MS,
        }
    }

    /// A kill of pod 1 that is what it claims.
    struct Sound {
        scenario: &'static Scenario,
        asked: u64,
        calls: Vec<Call>,
        classes: Vec<String>,
        stopped: bool,
        performed: Vec<Performed>,
        died: Vec<String>,
    }

    /// Judges a sound kill after `spoil` changed it.
    fn judged(spoil: impl FnOnce(&mut Sound)) -> Result<(), Refusal> {
        let mut run = Sound {
            scenario: builtin("kill").unwrap(),
            asked: 3,
            calls: vec![
                call(0, 900, Outcome::Answered(1)),
                call(950, 1_003, Outcome::Failed(0)),
                call(1_003, 1_500, Outcome::Answered(0)),
            ],
            classes: vec!["Unknown: transport error <- connection reset".into()],
            stopped: false,
            performed: vec![
                performed(Action::Kill, 1_000, 1_002),
                performed(Action::Silence, 1_200, 1_204),
            ],
            died: vec![],
        };
        spoil(&mut run);
        verify(&Evidence {
            scenario: run.scenario,
            steps: &timeline(run.scenario, 1),
            pods: PODS,
            asked: run.asked,
            start_ns: 0,
            calls: &run.calls,
            classes: &run.classes,
            stopped: run.stopped,
            performed: &run.performed,
            monitor: false,
            died: &run.died,
        })
    }

    #[test]
    fn a_run_that_is_what_it_claims_is_accepted() {
        assert_eq!(judged(|_| ()), Ok(()));
    }

    #[test]
    fn a_victim_that_was_not_killed_is_refused() {
        for signal in [None, Some(15)] {
            let refused = judged(|run| run.performed[0].signal = signal);
            assert!(matches!(refused, Err(Refusal::Outlived(_))), "{refused:?}");
        }
    }

    #[test]
    fn a_victim_that_answers_calls_made_after_its_death_is_refused() {
        let refused = judged(|run| run.calls[2].outcome = Outcome::Answered(1));
        assert_eq!(
            refused,
            Err(Refusal::Outlived(
                "pod-1 answered 1 calls while it was not there".into()
            ))
        );
        // Asked before and answered just after is an answer that was on its way.
        assert_eq!(judged(|run| run.calls[1].outcome = Outcome::Answered(1)), Ok(()));
    }

    #[test]
    fn the_death_of_another_process_is_refused() {
        let refused = judged(|run| run.died = vec!["pod-3".into()]);
        assert_eq!(refused, Err(Refusal::Died("pod-3".into())));
    }

    #[test]
    fn fewer_calls_than_asked_for_are_refused_unless_the_run_was_stopped() {
        let refused = |asked| Err(Refusal::FewerCalls { asked, made: 3 });
        assert_eq!(judged(|run| run.asked = 4), refused(4));
        assert_eq!(judged(|run| (run.asked, run.stopped) = (4, true)), Ok(()));
        assert_eq!(judged(|run| run.asked = 2), refused(2));
    }

    #[test]
    fn a_workload_that_ended_before_the_script_did_is_refused() {
        let refused = |action, at_ms| {
            Err(Refusal::Unfinished {
                ended_ms: 1_500,
                action,
                at_ms,
            })
        };
        assert_eq!(judged(|run| run.performed.clear()), refused(Action::Kill, 1_000));
        assert_eq!(judged(|run| run.performed.truncate(1)), refused(Action::Silence, 1_200));
    }

    #[test]
    fn a_death_that_came_late_is_refused() {
        let refused = judged(|run| run.performed = vec![performed(Action::Kill, 1_000, 1_501)]);
        assert_eq!(
            refused,
            Err(Refusal::Late {
                action: Action::Kill,
                late_ms: 501
            })
        );
    }

    #[test]
    fn a_death_without_calls_in_flight_is_refused() {
        let refused = judged(|run| run.calls[1] = call(1_000, 1_000, Outcome::Failed(0)));
        assert_eq!(refused, Err(Refusal::NothingInFlight));
    }

    #[test]
    fn an_unreachable_network_is_refused_in_every_scenario() {
        let text = "Unavailable: tcp connect error <- Network is unreachable (os error 101)";
        for name in ["kill", "noroute", "blackhole"] {
            let refused = judged(|run| {
                (run.scenario, run.classes) = (builtin(name).unwrap(), vec![text.into()]);
            });
            assert_eq!(refused, Err(Refusal::Stray(text.into())), "{name}");
        }
    }

    #[test]
    fn an_unreachable_host_is_refused_before_the_scenario_makes_it_so() {
        let text = "Unavailable: No route to host (os error 113)";
        assert_eq!(
            judged(|run| run.classes = vec![text.into()]),
            Err(Refusal::Stray(text.into()))
        );
        let late = |run: &mut Sound| {
            run.classes = vec![text.into()];
            run.calls[1].end_ns = 21_500 * MS;
        };
        assert_eq!(judged(late), Ok(()));
    }
}
