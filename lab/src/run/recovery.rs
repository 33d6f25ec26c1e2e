//! How soon a pod got its calls when it was there (again), or when what befell it was over. Pure.

use serde::{Deserialize, Serialize};

use super::{Performed, absences};
use crate::pod::THINK_TIME;
use crate::scenario::{Action, PODS, Target};
use crate::workload::{Call, Outcome};

/// Answers are counted in windows this long.
const WINDOW_NS: u64 = 100_000_000;

/// A pod has its share again when it answers so many hundredths of what each pod would answer if all answered the same.
const SHARE_PERCENT: u64 = 75;

/// The end of what befell a pod, or all of them with the client's node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recovery {
    /// The pod; `None`: all of them.
    pub pod: Option<usize>,
    /// When it was over, nanoseconds after the start.
    pub at_ns: u64,
    /// From then to the first answer of the pod to a call made after it; of the last of the pods that had one, if it is all.
    pub first_answer_ns: Option<u64>,
    /// From then to the end of the first tenth of a second in which it had its fair share of the answers: each of them, if it is all.
    pub fair_share_ns: Option<u64>,
}

/// Every recovery of a run with `pods` pods that started at `start_ns`, in the order of time.
#[must_use]
pub fn recoveries(performed: &[Performed], calls: &[Call], pods: usize, start_ns: u64) -> Vec<Recovery> {
    let mut answers: Vec<_> = calls
        .iter()
        .filter_map(|call| match call.outcome {
            Outcome::Answered(pod) => Some((call.end_ns, call.start_ns, usize::from(pod))),
            _ => None,
        })
        .collect();
    answers.sort_unstable();
    let ends = performed.iter().filter_map(|it| Some((over(it)?, it.until_ns)));
    ends.map(|(pod, at_ns)| {
        let there = |pod: usize| {
            let absences = absences(performed, pod, pod < PODS);
            !absences.iter().any(|it| it.from_ns <= at_ns && at_ns < it.until_ns)
        };
        let present: Vec<_> = (0..pods).filter(|pod| there(*pod)).collect();
        let concerned: Vec<_> = pod.map_or_else(|| present.clone(), |pod| vec![pod]);
        let first = |pod: &usize| {
            let first = answers.iter().find(|(_, start_ns, by)| *start_ns >= at_ns && by == pod);
            first.map(|(end_ns, ..)| end_ns - at_ns)
        };
        Recovery {
            pod,
            at_ns: at_ns.saturating_sub(start_ns),
            first_answer_ns: concerned
                .iter()
                .map(first)
                .collect::<Option<Vec<_>>>()
                .and_then(|all| all.into_iter().max()),
            fair_share_ns: fair_share(&answers, at_ns, &concerned, present.len()),
        }
    })
    .collect()
}

/// Whose trouble was over with this, if it was.
fn over(it: &Performed) -> Option<Option<usize>> {
    match (it.event.on, it.event.action) {
        (Target::Pod(_), Action::Succeed(pod)) => Some(Some(pod)),
        (Target::Pod(pod), Action::Start | Action::Restore | Action::Accept) => Some(Some(pod)),
        (Target::Pod(pod), Action::Slow(ms)) if u128::from(ms) <= THINK_TIME.as_millis() => Some(Some(pod)),
        (Target::Client, Action::Restore) => Some(None),
        _ => None,
    }
}

/// The end of the first window in which each of `concerned` answered its share of what `present` pods answered.
fn fair_share(answers: &[(u64, u64, usize)], at_ns: u64, concerned: &[usize], present: usize) -> Option<u64> {
    let last_ns = answers.last()?.0;
    let mut from_ns = at_ns;
    while from_ns + WINDOW_NS <= last_ns {
        let begin = answers.partition_point(|(end_ns, ..)| *end_ns < from_ns);
        let end = answers.partition_point(|(end_ns, ..)| *end_ns < from_ns + WINDOW_NS);
        let window = &answers[begin..end];
        let has_its_share = |pod: &usize| {
            let own = window.iter().filter(|(.., by)| by == pod).count() as u64;
            own > 0 && own * 100 * present as u64 >= window.len() as u64 * SHARE_PERCENT
        };
        if concerned.iter().all(has_its_share) {
            return Some(from_ns + WINDOW_NS - at_ns);
        }
        from_ns += WINDOW_NS;
    }
    None
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::scenario::Event;

    const MS: u64 = 1_000_000;

    fn performed(at_ms: u64, on: Target, action: Action) -> Performed {
        Performed {
            event: Event {
                at: Duration::ZERO,
                on,
                action,
            },
            planned_ns: at_ms * MS,
            from_ns: at_ms * MS,
            until_ns: at_ms * MS,
            signal: None,
        }
    }

    /// A call a millisecond, answered ten later by the pod that `by` says.
    fn calls(until_ms: u64, by: impl Fn(u64) -> u8) -> Vec<Call> {
        (0..until_ms)
            .map(|ms| Call {
                start_ns: ms * MS,
                end_ns: (ms + 10) * MS,
                outcome: Outcome::Answered(by(ms)),
            })
            .collect()
    }

    #[test]
    fn a_pod_that_joins_has_its_first_answer_and_later_its_share() {
        let joins = [performed(100, Target::Pod(5), Action::Start)];
        // Now and then from 150 ms on, and fairly from 400 ms on.
        let calls = calls(1_000, |ms| match ms {
            150.. if ms % 50 == 0 => 5,
            400.. if ms % 5 == 0 => 5,
            _ => u8::try_from(ms % 5).unwrap(),
        });
        let recovered = recoveries(&joins, &calls, 6, 40 * MS);
        assert_eq!(
            recovered,
            [Recovery {
                pod: Some(5),
                at_ns: 60 * MS,
                first_answer_ns: Some(60 * MS),
                fair_share_ns: Some(400 * MS),
            }]
        );
    }

    #[test]
    fn a_client_s_node_is_back_when_every_pod_that_is_there_has_its_share() {
        let script = [
            performed(10, Target::Pod(4), Action::Kill),
            performed(20, Target::Client, Action::Silence),
            performed(200, Target::Client, Action::Restore),
        ];
        let calls = calls(1_000, |ms| match ms {
            ..300 => 0,
            _ => u8::try_from(ms % 4).unwrap(),
        });
        let recovered = recoveries(&script, &calls, 5, 0);
        let [all] = recovered.as_slice() else {
            panic!("{recovered:?}")
        };
        assert_eq!((all.pod, all.fair_share_ns), (None, Some(200 * MS)));
        assert_eq!(all.first_answer_ns, Some(113 * MS));
    }

    #[test]
    fn who_never_answered_did_not_recover() {
        let joins = [performed(100, Target::Pod(5), Action::Start)];
        let recovered = recoveries(&joins, &calls(1_000, |_| 0), 6, 0);
        assert_eq!((recovered[0].first_answer_ns, recovered[0].fair_share_ns), (None, None));
        assert_eq!(recoveries(&joins, &[], 6, 0)[0].fair_share_ns, None);
    }
}
