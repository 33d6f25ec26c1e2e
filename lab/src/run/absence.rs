//! When a pod was not there, as the script's record has it. Pure.

use super::Performed;
use crate::scenario::{Action, Target};

/// A time in which a pod answered nobody. `CLOCK_MONOTONIC` nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Absence {
    /// Before it went.
    pub from_ns: u64,
    /// When it was gone for sure.
    pub since_ns: u64,
    /// When it began to come back; `u64::MAX` if it did not.
    pub until_ns: u64,
    /// Whether it was told to end: then what it had begun it may have answered.
    pub orderly: bool,
}

/// The absences of a pod, in the order of time. One that is not there from the start was away until it began.
#[must_use]
pub fn absences(performed: &[Performed], pod: usize, from_the_start: bool) -> Vec<Absence> {
    let mut absences = Vec::new();
    let mut absent = (!from_the_start).then_some(Absence {
        from_ns: 0,
        since_ns: 0,
        until_ns: u64::MAX,
        orderly: false,
    });
    // What keeps it away.
    let (mut ended, mut silenced) = (!from_the_start, false);
    for it in performed {
        match (it.event.on, it.event.action) {
            (Target::Pod(other), Action::Kill | Action::Terminate) if other == pod => ended = true,
            (Target::Pod(other), Action::Silence) if other == pod => silenced = true,
            (Target::Pod(other), Action::Restore) if other == pod => silenced = false,
            (Target::Pod(other), Action::Start) if other == pod => (ended, silenced) = (false, false),
            (Target::Pod(_), Action::Succeed(successor)) if successor == pod => (ended, silenced) = (false, false),
            _ => continue,
        }
        if ended || silenced {
            absent.get_or_insert(Absence {
                from_ns: it.from_ns,
                since_ns: it.until_ns,
                until_ns: u64::MAX,
                orderly: it.event.action == Action::Terminate,
            });
        } else if let Some(over) = absent.take() {
            absences.push(Absence {
                until_ns: it.from_ns,
                ..over
            });
        }
    }
    absences.extend(absent);
    absences
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::scenario::Event;

    fn performed(at_ns: u64, pod: usize, action: Action) -> Performed {
        Performed {
            event: Event {
                at: Duration::ZERO,
                on: Target::Pod(pod),
                action,
            },
            planned_ns: at_ns,
            from_ns: at_ns,
            until_ns: at_ns + 1,
            signal: None,
        }
    }

    fn times(performed: &[Performed], pod: usize) -> Vec<(u64, u64, u64)> {
        let absences = absences(performed, pod, pod < 5);
        absences
            .iter()
            .map(|it| (it.from_ns, it.since_ns, it.until_ns))
            .collect()
    }

    #[test]
    fn a_crash_loop_is_an_absence_each_time() {
        let script = [
            performed(10, 1, Action::Kill),
            performed(20, 1, Action::Start),
            performed(25, 2, Action::Kill),
            performed(30, 1, Action::Kill),
        ];
        assert_eq!(times(&script, 1), [(10, 11, 20), (30, 31, u64::MAX)]);
        assert_eq!(times(&script, 2), [(25, 26, u64::MAX)]);
        assert_eq!(times(&script, 0), []);
    }

    #[test]
    fn who_died_is_not_back_when_its_network_is() {
        let script = [
            performed(10, 1, Action::Kill),
            performed(12, 1, Action::Silence),
            performed(15, 1, Action::Restore),
            performed(20, 1, Action::Start),
        ];
        assert_eq!(times(&script, 1), [(10, 11, 20)]);
        assert_eq!(times(&script[1..3], 1), [(12, 13, 15)]);
    }

    #[test]
    fn a_successor_comes_where_the_dead_one_was_and_a_spare_when_it_begins() {
        let script = [performed(10, 1, Action::Kill), performed(20, 1, Action::Succeed(5))];
        assert_eq!(times(&script, 1), [(10, 11, u64::MAX)]);
        assert_eq!(times(&script, 5), [(0, 0, 20)]);
        assert_eq!(times(&[], 6), [(0, 0, u64::MAX)]);
    }

    #[test]
    fn who_is_slow_or_full_is_there() {
        let script = [
            performed(10, 1, Action::Slow(500)),
            performed(11, 1, Action::StopAccepting),
            performed(12, 1, Action::DropNeighbour),
        ];
        assert_eq!(times(&script, 1), []);
    }
}
