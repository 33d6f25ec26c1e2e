//! What the application saw: the lines of `obit-example call` (deploy/example/README.md) between two instants. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use anyhow::{Result, ensure};
use serde::Deserialize;

/// A line that counts here. Times are milliseconds since 1970, durations milliseconds.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub(crate) enum Line {
    /// The caller begins.
    Start { at_ms: u64 },
    /// A pod answered for the first time.
    Pod { pod: String, at_ms: u64 },
    /// What came of the calls that ended in one second.
    Second(Second),
    /// All of them.
    End { at_ms: u64 },
}

/// A second of a caller.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub(crate) struct Second {
    pub(crate) at_ms: u64,
    pub(crate) ok: u64,
    pub(crate) failed: u64,
    pub(crate) oldest_ms: f64,
    pub(crate) slowest_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) pods: BTreeMap<String, u64>,
    pub(crate) errors: BTreeMap<String, u64>,
}

impl Second {
    /// Nothing failed, nothing hangs, and somebody answered.
    pub(crate) fn is_clean(&self) -> bool {
        self.failed == 0 && self.ok > 0 && self.oldest_ms < 1_000.0 && self.slowest_ms < 1_000.0
    }
}

/// The lines in a container's log, in which there is more.
pub(crate) fn lines(log: &str) -> Vec<Line> {
    log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// The seconds among them, as they came.
pub(crate) fn seconds(lines: &[Line]) -> impl DoubleEndedIterator<Item = &Second> {
    lines.iter().filter_map(|line| match line {
        Line::Second(second) => Some(second),
        _ => None,
    })
}

/// When that pod answered for the first time.
pub(crate) fn first_call(lines: &[Line], pod: &str) -> Option<u64> {
    lines.iter().find_map(|line| match line {
        Line::Pod { pod: met, at_ms } if met == pod => Some(*at_ms),
        _ => None,
    })
}

/// The pods that answered in the seconds that began at or after this instant.
pub(crate) fn answered_since(lines: &[Line], from_ms: u64) -> BTreeSet<String> {
    let since = seconds(lines).filter(|second| second.at_ms >= from_ms + 1_000);
    since.flat_map(|second| second.pods.keys().cloned()).collect()
}

/// What one caller saw in a while.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Saw {
    /// How many of its seconds were heard.
    pub(crate) seconds: usize,
    /// Calls that were answered.
    pub(crate) ok: u64,
    /// Calls that failed.
    pub(crate) failed: u64,
    /// The worst second's p99.
    pub(crate) p99_ms: f64,
    /// The slowest call, or the longest wait of one that has not ended.
    pub(crate) slowest_ms: f64,
    /// How often each failure came.
    pub(crate) errors: BTreeMap<String, u64>,
}

impl Saw {
    /// From the seconds that ended after `from_ms` and began before `to_ms`.
    pub(crate) fn between(lines: &[Line], from_ms: u64, to_ms: u64) -> Self {
        let mut saw = Self::default();
        for second in seconds(lines).filter(|it| it.at_ms > from_ms && it.at_ms < to_ms + 1_000) {
            saw.seconds += 1;
            saw.ok += second.ok;
            saw.failed += second.failed;
            saw.p99_ms = saw.p99_ms.max(second.p99_ms);
            saw.slowest_ms = saw.slowest_ms.max(second.slowest_ms).max(second.oldest_ms);
            for (error, count) in &second.errors {
                *saw.errors.entry(error.clone()).or_default() += count;
            }
        }
        saw
    }

    /// Holds it against what obit promises for calls that may be repeated: none failed, none took longer than that.
    ///
    /// # Errors
    /// When it is otherwise, or when too little was heard to say so.
    pub(crate) fn promise(&self, least_seconds: usize, slowest_ms: f64) -> Result<()> {
        ensure!(
            self.seconds >= least_seconds && self.ok > 0,
            "only {} seconds of {least_seconds} were heard, with {} calls: the caller did not run",
            self.seconds,
            self.ok
        );
        ensure!(self.failed == 0, "{} calls failed: {:?}", self.failed, self.errors);
        ensure!(
            self.slowest_ms <= slowest_ms,
            "a call took {:.0} ms, more than {slowest_ms:.0}",
            self.slowest_ms
        );
        Ok(())
    }
}

impl fmt::Display for Saw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ok, failed, .. } = self;
        write!(
            f,
            "{ok} ok, {failed} failed, p99 {:.0} ms, slowest {:.0} ms",
            self.p99_ms, self.slowest_ms
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = r#"
{"event":"start","client":"obit","target":"obit:///greeter.shop:50051","at_ms":1000}
2026-11-28T08:00:00Z  INFO obit: {"event":"second"} is no line of ours
{"event":"pod","pod":"a","at_ms":1012}
{"event":"second","second":1,"at_ms":2000,"ok":10,"failed":0,"in_flight":0,"oldest_ms":0.0,"slowest_ms":12.5,"p50_ms":10.0,"p99_ms":12.0,"pods":{"a":10},"errors":{}}
{"event":"pod","pod":"b","at_ms":2500}
{"event":"second","second":2,"at_ms":3000,"ok":5,"failed":2,"in_flight":1,"oldest_ms":900.0,"slowest_ms":40.0,"p50_ms":10.0,"p99_ms":38.0,"pods":{"a":1,"b":4},"errors":{"gone":2}}
{"event":"second","second":3,"at_ms":4000,"ok":7,"failed":0,"in_flight":0,"oldest_ms":0.0,"slowest_ms":11.0,"p50_ms":10.0,"p99_ms":11.0,"pods":{"b":7},"errors":{}}
{"event":"end","at_ms":4001}
{"event":"seco"#;

    #[test]
    fn the_example_in_the_documentation_is_read() {
        let readme = include_str!("../../deploy/example/README.md");
        let read = lines(readme);
        let [Line::Second(second)] = &read[..] else {
            panic!("{read:?}");
        };
        assert!(second.is_clean() && second.pods.len() == 2, "{second:?}");
    }

    #[test]
    fn what_is_no_line_is_passed_over() {
        let lines = lines(LOG);
        assert_eq!(lines.len(), 7);
        assert_eq!(seconds(&lines).count(), 3);
        assert_eq!((first_call(&lines, "b"), first_call(&lines, "c")), (Some(2_500), None));
    }

    #[test]
    fn a_while_takes_in_the_seconds_it_touches() {
        let lines = lines(LOG);
        let saw = Saw::between(&lines, 2_100, 2_900);
        assert_eq!((saw.seconds, saw.ok, saw.failed, saw.slowest_ms), (1, 5, 2, 900.0));
        assert_eq!(saw.to_string(), "5 ok, 2 failed, p99 38 ms, slowest 900 ms");
        let saw = Saw::between(&lines, 2_000, 3_500);
        assert_eq!((saw.seconds, saw.ok), (2, 12));
        assert_eq!(Saw::between(&lines, 1_999, 3_500).seconds, 3);
    }

    #[test]
    fn who_answered_is_asked_of_whole_seconds() {
        let lines = lines(LOG);
        let names = |from_ms| answered_since(&lines, from_ms).into_iter().collect::<Vec<_>>();
        assert_eq!(names(2_000), ["a", "b"]);
        assert_eq!(names(2_001), ["b"]);
    }

    #[test]
    fn a_promise_is_broken_by_a_failure_by_a_slow_call_and_by_silence() {
        let kept = Saw {
            seconds: 5,
            ok: 100,
            slowest_ms: 50.0,
            ..Saw::default()
        };
        assert!(kept.promise(5, 1_000.0).is_ok());
        let broken = |saw: Saw| saw.promise(5, 1_000.0).expect_err("a broken promise").to_string();
        assert!(
            broken(Saw {
                failed: 1,
                ..kept.clone()
            })
            .starts_with("1 calls failed")
        );
        assert_eq!(
            broken(Saw {
                slowest_ms: 1_001.0,
                ..kept.clone()
            }),
            "a call took 1001 ms, more than 1000"
        );
        assert!(
            broken(Saw {
                seconds: 4,
                ..kept.clone()
            })
            .starts_with("only 4 seconds")
        );
        assert!(broken(Saw { ok: 0, ..kept }).starts_with("only 5 seconds"));
    }

    #[test]
    fn a_second_is_clean_when_nothing_failed_or_hangs_and_somebody_answered() {
        let clean = Second {
            ok: 1,
            ..Second::default()
        };
        assert!(clean.is_clean());
        assert!(!Second::default().is_clean());
        assert!(
            !Second {
                failed: 1,
                ..clean.clone()
            }
            .is_clean()
        );
        assert!(
            !Second {
                oldest_ms: 2_000.0,
                ..clean
            }
            .is_clean()
        );
    }
}
