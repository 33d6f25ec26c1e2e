//! One run on disk, whatever became of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Course;
use crate::pod::Tally;
use crate::report::{Figures, Quantiles};
use crate::run::{Recovery, Run};

/// One run. `null` where a figure is unknown; times are nanoseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Document {
    /// The version of this form, [`super::FORMAT`].
    pub format: u32,
    /// The scenario's name.
    pub scenario: String,
    /// What the client is called.
    pub client: String,
    /// Which trial, from 1.
    pub trial: u32,
    /// What chose the victim.
    pub seed: u64,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was what it claims to be.
    Measured(Box<Measured>),
    /// The client's program is not there, or does not do what the scenario asks for.
    Absent(String),
    /// The client did something that leaves nothing to measure.
    Fault(String),
    /// The run was not what it claims to be. Made again when the matrix goes on.
    Refused(String),
}

/// The figures of a run, all of them from the same calls.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// Calls asked for.
    pub asked: u64,
    /// From the start of the workload to the end of its last call.
    pub elapsed_ns: u64,
    /// Whether the client was stopped at the bound.
    pub stopped: bool,
    /// Calls answered.
    pub success: u64,
    /// Calls failed, hung ones included.
    pub fail: u64,
    /// Calls that had not ended when the run was stopped.
    pub hung: u64,
    /// Calls that took more than a second.
    pub slow: u64,
    /// How long calls took; `null` if there were none.
    pub latency: Option<Quantiles>,
    /// When the last call failed, after the start.
    pub last_failure_ns: Option<u64>,
    /// Calls answered by each pod.
    pub load_balance: BTreeMap<String, u64>,
    /// Failed calls by error text, hung ones not included.
    pub failures: BTreeMap<String, u64>,
    /// The pod that died.
    pub victim: Option<String>,
    /// Calls the victim had received when it died and never answered.
    pub in_flight_on_victim: Option<u64>,
    /// When the victim died, after the start.
    pub death_ns: Option<u64>,
    /// From the death to the victim's departure from the client's rotation, where the client tells of it.
    pub evicted_after_ns: Option<u64>,
    /// How often the client took a pod for dead that was there, where the client tells of it.
    pub wrongly_evicted: Option<u64>,
    /// Every end of what befell a pod, and how soon it had its calls again.
    pub recoveries: Vec<Recovery>,
    /// From the kernel's events to the notices handled in the client.
    pub event_to_client: Option<Quantiles>,
    /// Calls that the pods processed.
    pub processed: u64,
    /// Calls that they processed more than once.
    pub processed_twice: u64,
    /// How it went over time.
    #[serde(flatten)]
    pub course: Course,
}

impl From<Run> for Measured {
    fn from(run: Run) -> Self {
        let figures = run.figures;
        Self {
            asked: run.asked,
            elapsed_ns: figures.elapsed_ns,
            stopped: run.stopped,
            success: figures.success,
            fail: figures.fail,
            hung: figures.hung,
            slow: figures.slow,
            latency: (figures.latency.count > 0).then_some(figures.latency),
            last_failure_ns: figures.last_failure_ns,
            load_balance: figures.load_balance,
            failures: figures.failures,
            victim: run.victim,
            in_flight_on_victim: run.in_flight_on_victim,
            death_ns: run.death_ns,
            evicted_after_ns: run.evicted_after_ns,
            wrongly_evicted: run.wrongly_evicted,
            recoveries: run.recoveries,
            event_to_client: run.event_to_client,
            processed: run.tally.processed,
            processed_twice: run.tally.processed_twice,
            course: run.course,
        }
    }
}

impl Document {
    /// The run as it was measured; `None` of one that was not.
    #[must_use]
    pub fn run(&self) -> Option<Run> {
        let measured = self.measured()?.clone();
        Some(Run {
            scenario: self.scenario.clone(),
            client: self.client.clone(),
            asked: measured.asked,
            figures: Figures {
                elapsed_ns: measured.elapsed_ns,
                success: measured.success,
                fail: measured.fail,
                hung: measured.hung,
                load_balance: measured.load_balance,
                failures: measured.failures,
                latency: measured.latency.unwrap_or_default(),
                last_failure_ns: measured.last_failure_ns,
                slow: measured.slow,
            },
            victim: measured.victim,
            in_flight_on_victim: measured.in_flight_on_victim,
            death_ns: measured.death_ns,
            evicted_after_ns: measured.evicted_after_ns,
            wrongly_evicted: measured.wrongly_evicted,
            recoveries: measured.recoveries,
            event_to_client: measured.event_to_client,
            tally: Tally {
                processed: measured.processed,
                processed_twice: measured.processed_twice,
            },
            stopped: measured.stopped,
            course: measured.course,
        })
    }

    /// Its figures; `None` if it was not measured.
    #[must_use]
    pub fn measured(&self) -> Option<&Measured> {
        match &self.outcome {
            Outcome::Measured(measured) => Some(measured),
            Outcome::Absent(_) | Outcome::Fault(_) | Outcome::Refused(_) => None,
        }
    }

    /// Why there are no figures that could be used: it was not measured, or it made no call. `None` if there are.
    #[must_use]
    pub fn unusable(&self) -> Option<&str> {
        match &self.outcome {
            Outcome::Measured(measured) if measured.latency.is_some() => None,
            Outcome::Measured(_) => Some("it made no call"),
            Outcome::Absent(why) | Outcome::Fault(why) | Outcome::Refused(why) => Some(why),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::FORMAT;
    use super::*;
    use crate::record::{Harm, Second};
    use crate::report::sample;

    fn document(outcome: Outcome) -> Document {
        Document {
            format: FORMAT,
            scenario: "kill".to_owned(),
            client: "obit".to_owned(),
            trial: 2,
            seed: u64::MAX,
            outcome,
        }
    }

    fn full() -> Run {
        let mut run = sample();
        run.course = Course {
            phases: vec![],
            seconds: vec![Second {
                at_s: 0,
                answered: 149_998,
                failed: 2,
                p50_ns: 1,
                p99_ns: 2,
                max_ns: 3,
            }],
            harm: Some(Harm {
                calls: 1,
                first_ns: 5,
                last_ns: 5,
            }),
            spread: Some(1.25),
        };
        run
    }

    #[test]
    fn a_run_comes_back_from_disk_as_it_was() {
        let written = document(Outcome::Measured(Box::new(full().into())));
        let text = serde_json::to_string(&written).unwrap();
        let read: Document = serde_json::from_str(&text).unwrap();
        assert_eq!(read, written);
        assert_eq!(read.run(), Some(full()));
    }

    #[test]
    fn the_document_says_what_the_manual_says() {
        let value = serde_json::to_value(document(Outcome::Measured(Box::new(full().into())))).unwrap();
        let measured = &value["outcome"]["measured"];
        for key in [
            "asked",
            "elapsed_ns",
            "success",
            "fail",
            "hung",
            "slow",
            "latency",
            "last_failure_ns",
            "evicted_after_ns",
            "processed_twice",
            "load_balance",
            "failures",
            "spread",
            "harm",
            "phases",
            "seconds",
        ] {
            assert!(measured.get(key).is_some(), "{key} in {measured}");
        }
        assert_eq!(measured["seconds"][0]["answered"], 149_998);
        let fault = serde_json::to_value(document(Outcome::Fault("it lied".to_owned()))).unwrap();
        assert_eq!(fault["outcome"]["fault"], "it lied");
    }

    #[test]
    fn a_run_without_calls_is_of_no_use_and_says_so() {
        let mut run = sample();
        run.figures.latency = Quantiles::default();
        assert_eq!(
            document(Outcome::Measured(Box::new(run.into()))).unusable(),
            Some("it made no call")
        );
        assert_eq!(document(Outcome::Measured(Box::new(sample().into()))).unusable(), None);
        assert_eq!(document(Outcome::Absent("no go".to_owned())).unusable(), Some("no go"));
    }
}
