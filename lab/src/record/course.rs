//! How a run went over time, from the same trace as its figures: what was done to the pods, second by second what became of the
//! calls, and how long calls showed the death. Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::report::Quantiles;
use crate::run::{Performed, absences};
use crate::scenario::{Action, PODS};
use crate::workload::{Call, Outcome};

/// One second.
const SECOND_NS: u64 = 1_000_000_000;

/// A call that begins after the death and takes longer shows it: 25 times what a pod takes to answer.
const HARM_NS: u64 = 250_000_000;

/// How long after the last thing that was done calls are left out of the spread.
const SETTLE_NS: u64 = SECOND_NS;

/// How a run went over time.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Course {
    /// What was done, in the order of time.
    pub phases: Vec<Phase>,
    /// The seconds in which calls ended, in the order of time; others are left out.
    pub seconds: Vec<Second>,
    /// The calls that show the death; `None` if none does, or nobody died.
    pub harm: Option<Harm>,
    /// How evenly the pods that are there in the end were used: of the answered calls that began a second after the last thing that
    /// was done or later (all calls where nothing was), the largest part that one pod answered, over its fair part. 1 is even; as many as there are living pods
    /// means that one answered all. `None` if no such call was answered.
    pub spread: Option<f64>,
}

/// Something done to a pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Phase {
    /// What, as in scenarios' files.
    pub name: String,
    /// When it was begun, nanoseconds after the start.
    pub at_ns: u64,
}

/// What became of the calls that ended in one second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Second {
    /// Which, counted from 0 at the start.
    pub at_s: u64,
    /// Calls answered.
    pub answered: u64,
    /// Calls failed, those included that hung until the run was stopped.
    pub failed: u64,
    /// How long the median of both took, nanoseconds.
    pub p50_ns: u64,
    /// 99 % of both.
    pub p99_ns: u64,
    /// The longest of both.
    pub max_ns: u64,
}

/// Calls that began after the death and failed, hung, or took more than 250 ms. Which address such a call had chosen is not
/// known of every client, and a call that was moved elsewhere at once does not show: so this bounds from outside for how long
/// a client chose the dead address, the same way for each. A call slow or failed for another reason counts as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Harm {
    /// How many.
    pub calls: u64,
    /// When the first of them began, nanoseconds after the death.
    pub first_ns: u64,
    /// When the last of them began, nanoseconds after the death.
    pub last_ns: u64,
}

impl Course {
    /// The course of `calls` from `start_ns` on, of a run with `pods` pods.
    #[must_use]
    pub fn of(calls: &[Call], start_ns: u64, performed: &[Performed], pods: usize) -> Self {
        let phases = performed.iter().map(|step| Phase {
            name: step.event.to_string(),
            at_ns: step.from_ns.saturating_sub(start_ns),
        });
        let death = performed.iter().find(|step| step.event.is_death());
        let death_ns = death.map(|death| death.from_ns);
        // What becomes of a dead pod's address moves no call.
        let last = performed
            .iter()
            .rfind(|step| step.event.action != Action::RejectHostUnreachable);
        let settled_ns = last.map_or(start_ns, |last| last.from_ns.saturating_add(SETTLE_NS));
        let is_there = |pod: &usize| {
            let absences = absences(performed, *pod, *pod < PODS);
            absences.iter().all(|absence| absence.until_ns < u64::MAX)
        };
        let living = (0..pods).filter(is_there).count();
        Self {
            phases: phases.collect(),
            seconds: seconds(calls, start_ns),
            harm: death_ns.and_then(|death_ns| harm(calls, death_ns)),
            spread: spread(calls, settled_ns, living),
        }
    }
}

fn seconds(calls: &[Call], start_ns: u64) -> Vec<Second> {
    let mut ended: BTreeMap<u64, (u64, u64, Vec<u64>)> = BTreeMap::new();
    for call in calls {
        let at_s = call.end_ns.saturating_sub(start_ns) / SECOND_NS;
        let (answered, failed, took) = ended.entry(at_s).or_default();
        match call.outcome {
            Outcome::Answered(_) => *answered += 1,
            Outcome::Failed(_) | Outcome::Hung => *failed += 1,
        }
        took.push(call.took_ns());
    }
    let second = |(at_s, (answered, failed, took))| {
        let took = Quantiles::of(took).unwrap_or_default();
        Second {
            at_s,
            answered,
            failed,
            p50_ns: took.p50_ns,
            p99_ns: took.p99_ns,
            max_ns: took.max_ns,
        }
    };
    ended.into_iter().map(second).collect()
}

fn harm(calls: &[Call], death_ns: u64) -> Option<Harm> {
    let after_death = calls.iter().filter(|call| call.start_ns >= death_ns);
    let harmed = after_death.filter(|call| !matches!(call.outcome, Outcome::Answered(_)) || call.took_ns() > HARM_NS);
    harmed.fold(None, |harm, call| {
        let began_ns = call.start_ns - death_ns;
        Some(harm.map_or(
            Harm {
                calls: 1,
                first_ns: began_ns,
                last_ns: began_ns,
            },
            |harm: Harm| Harm {
                calls: harm.calls + 1,
                first_ns: harm.first_ns.min(began_ns),
                last_ns: harm.last_ns.max(began_ns),
            },
        ))
    })
}

#[expect(clippy::cast_precision_loss, reason = "calls of a run are fewer than 2^53")]
fn spread(calls: &[Call], settled_ns: u64, living: usize) -> Option<f64> {
    let mut answered: BTreeMap<u8, u64> = BTreeMap::new();
    for call in calls.iter().filter(|call| call.start_ns >= settled_ns) {
        if let Outcome::Answered(pod) = call.outcome {
            *answered.entry(pod).or_default() += 1;
        }
    }
    let all: u64 = answered.values().sum();
    let largest = answered.values().max()?;
    Some(*largest as f64 * living as f64 / all as f64)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::scenario::{Event, Target};

    const START: u64 = 5_000;

    /// A call with its times in milliseconds after the start.
    fn call(start_ms: u64, end_ms: u64, outcome: Outcome) -> Call {
        Call {
            start_ns: START + start_ms * 1_000_000,
            end_ns: START + end_ms * 1_000_000,
            outcome,
        }
    }

    fn killed_at(at_ms: u64) -> [Performed; 1] {
        let at_ns = START + at_ms * 1_000_000;
        [Performed {
            event: Event {
                at: Duration::from_millis(at_ms),
                on: Target::Pod(0),
                action: Action::Kill,
            },
            signal: None,
            planned_ns: at_ns,
            from_ns: at_ns,
            until_ns: at_ns + 1,
        }]
    }

    #[test]
    fn a_call_counts_in_the_second_in_which_it_ended_and_empty_seconds_are_left_out() {
        let calls = [
            call(0, 999, Outcome::Answered(0)),
            call(0, 1_000, Outcome::Answered(0)),
            call(900, 1_100, Outcome::Failed(0)),
            call(1_000, 61_000, Outcome::Hung),
        ];
        let course = Course::of(&calls, START, &[], 1);
        let counts: Vec<_> = course
            .seconds
            .iter()
            .map(|second| (second.at_s, second.answered, second.failed, second.max_ns / 1_000_000))
            .collect();
        assert_eq!(counts, [(0, 1, 0, 999), (1, 1, 1, 1_000), (61, 0, 1, 60_000)]);
    }

    #[test]
    fn the_seconds_hold_every_call_once_also_of_a_client_that_tells_impossible_times() {
        let mut calls: Vec<_> = (0..5_000).map(|it| call(it, it + 10, Outcome::Answered(0))).collect();
        calls.push(Call {
            start_ns: 0,
            end_ns: u64::MAX,
            outcome: Outcome::Hung,
        });
        let seconds = Course::of(&calls, START, &[], 1).seconds;
        let all: u64 = seconds.iter().map(|second| second.answered + second.failed).sum();
        assert_eq!((all, seconds.len()), (5_001, 7));
    }

    #[test]
    fn only_calls_that_begin_after_the_death_show_it_by_failing_hanging_or_being_slow() {
        let calls = [
            call(990, 5_000, Outcome::Failed(0)),
            call(1_000, 1_100, Outcome::Answered(1)),
            call(1_100, 1_351, Outcome::Answered(1)),
            call(1_200, 1_450, Outcome::Answered(1)),
            call(1_300, 1_301, Outcome::Failed(0)),
            call(1_400, 9_000, Outcome::Hung),
            call(1_500, 1_510, Outcome::Answered(1)),
        ];
        let ms = |ms: u64| ms * 1_000_000;
        let harm = Harm {
            calls: 3,
            first_ns: ms(100),
            last_ns: ms(400),
        };
        assert_eq!(Course::of(&calls, START, &killed_at(1_000), 1).harm, Some(harm));
        assert_eq!(Course::of(&calls[..2], START, &killed_at(1_000), 1).harm, None);
        assert_eq!(Course::of(&calls, START, &[], 1).harm, None, "nobody died");
    }

    #[test]
    fn the_spread_is_the_largest_part_over_the_fair_part_once_the_death_has_settled() {
        let mut calls = vec![call(0, 10, Outcome::Answered(0)); 100];
        calls.extend([1, 1, 1, 2].map(|pod| call(2_000, 2_010, Outcome::Answered(pod))));
        calls.push(call(2_000, 2_010, Outcome::Failed(0)));
        let spread = Course::of(&calls, START, &killed_at(1_000), 5).spread.unwrap();
        assert!((spread - 3.0).abs() < 1e-9, "{spread}");
        assert_eq!(Course::of(&calls[..100], START, &killed_at(1_000), 5).spread, None);
        let steady = Course::of(&calls[..100], START, &[], 5).spread.unwrap();
        assert!((steady - 5.0).abs() < 1e-9, "{steady}");
    }

    #[test]
    fn phases_say_what_was_done_to_whom_counted_from_the_start() {
        let phases = Course::of(&[], START, &killed_at(1_000), 1).phases;
        let kill = Phase {
            name: "kill pod-0".to_owned(),
            at_ns: 1_000_000_000,
        };
        assert_eq!(phases, [kill]);
    }
}
