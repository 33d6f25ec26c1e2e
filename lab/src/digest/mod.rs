//! A matrix's folder summed up: for each scenario and client the median of its trials and the range they span. Pure.

mod chart;
mod markdown;
mod page;
mod summary;
mod table;

use std::collections::BTreeMap;

use crate::bench::Spread;
use crate::record::{Document, Environment, Measured, ScenarioFlag};
use crate::report::Compared;
use crate::run::Recovery;

pub use markdown::{markdown, overview};
pub use page::page;
pub use summary::summary;

/// A matrix, summed up.
#[derive(Debug, Clone, PartialEq)]
pub struct Digest {
    /// Where and how it was run.
    pub environment: Environment,
    /// By scenario in the order of the flags, then by client in the order of the flags.
    pub rows: Vec<Row>,
}

/// A scenario with every client.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The scenario's name.
    pub scenario: String,
    /// What happens.
    pub summary: String,
    /// Whether others are compared with it.
    pub steady: bool,
    /// One for each client that is measured in it.
    pub cells: Vec<Cell>,
}

/// A scenario with a client.
#[derive(Debug, Clone, PartialEq)]
pub struct Cell {
    /// The client's name.
    pub client: String,
    /// The trials that could be used.
    pub figures: Option<Figures>,
    /// Why others could not, each reason once.
    pub unusable: Vec<String>,
    /// The trial of median time.
    pub typical: Option<Typical>,
}

/// A trial that stands for the others.
#[derive(Debug, Clone, PartialEq)]
pub struct Typical {
    /// Which.
    pub trial: u32,
    /// What was measured, beside the client's own steady run of as many calls.
    pub run: Compared,
}

/// The figures of a cell. Times are milliseconds.
#[derive(Debug, Clone, PartialEq)]
pub struct Figures {
    /// How many trials.
    pub trials: usize,
    /// In how many the client was stopped at the bound: then ratio and elapsed time are at least what they say.
    pub stopped: usize,
    /// The time a call took of the whole over that of the client's own steady runs of the same trial.
    pub ratio: Option<Spread>,
    /// Calls failed, hung ones included.
    pub failed: Spread,
    /// Calls over a second.
    pub slow: Spread,
    /// 99.9 % of the calls.
    pub p999_ms: Option<Spread>,
    /// The slowest call.
    pub max_ms: Option<Spread>,
    /// When the last call failed, after the start, of the trials in which one did.
    pub last_failure_ms: Option<Spread>,
    /// When the last call began that shows the death, after it, of the trials in which one does.
    pub harmed_until_ms: Option<Spread>,
    /// How evenly the pods were used.
    pub spread: Option<Spread>,
    /// Pods taken for dead that were there, of clients that tell.
    pub wrongly_evicted: Option<Spread>,
    /// To the first answer of a pod that is back, the longest of a trial; of the trials in which all gave one.
    pub first_answer_ms: Option<Spread>,
    /// In how many trials a pod that was back gave none.
    pub unanswered: usize,
    /// To the fair share of a pod that is back, the longest of a trial; of the trials in which all came to it.
    pub fair_share_ms: Option<Spread>,
    /// In how many trials a pod did not come to it.
    pub unrecovered: usize,
    /// Calls that pods processed more than once.
    pub processed_twice: Spread,
}

impl Cell {
    /// Why it has no figures.
    fn why_not(&self) -> &str {
        self.unusable.first().map_or("not run", String::as_str)
    }
}

impl Digest {
    /// Sums up `documents`, of runs in any order.
    #[must_use]
    pub fn of<'a>(environment: &Environment, documents: impl IntoIterator<Item = &'a Document>) -> Self {
        let documents: Vec<_> = documents.into_iter().collect();
        let flags = &environment.flags;
        let steady = steady(&documents, &flags.scenarios);
        let rows = flags.scenarios.iter().map(|scenario| Row {
            scenario: scenario.name.clone(),
            summary: scenario.summary.clone(),
            steady: scenario.name == scenario.steady,
            cells: scenario
                .clients
                .iter()
                .map(|client| cell(client, scenario, &documents, &steady))
                .collect(),
        });
        Self {
            environment: environment.clone(),
            rows: rows.collect(),
        }
    }
}

/// The time of a call in the runs of each scenario that others are compared with, of each client and trial: the mean of the runs.
type Steady<'a> = BTreeMap<(&'a str, &'a str, u32), f64>;

fn steady<'a>(documents: &[&'a Document], scenarios: &[ScenarioFlag]) -> Steady<'a> {
    let is_steady = |name: &str| scenarios.iter().any(|scenario| scenario.steady == name);
    let mut times: BTreeMap<_, Vec<f64>> = BTreeMap::new();
    for document in documents
        .iter()
        .filter(|it| is_steady(&it.scenario) && it.unusable().is_none())
    {
        if let Some(time) = document.measured().and_then(of_a_call) {
            times
                .entry((document.scenario.as_str(), document.client.as_str(), document.trial))
                .or_default()
                .push(time);
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "a trial has two steady runs")]
    let mean = |times: Vec<f64>| times.iter().sum::<f64>() / times.len() as f64;
    times.into_iter().map(|(key, times)| (key, mean(times))).collect()
}

/// The time of a run over its calls. Scenarios differ in how many they ask for.
#[expect(
    clippy::cast_precision_loss,
    reason = "a run takes less than 2^53 ns and has fewer calls"
)]
fn of_a_call(measured: &Measured) -> Option<f64> {
    (measured.asked > 0).then(|| measured.elapsed_ns as f64 / measured.asked as f64)
}

fn cell(client: &str, scenario: &ScenarioFlag, documents: &[&Document], steady: &Steady<'_>) -> Cell {
    let ours = documents
        .iter()
        .filter(|it| it.client == client && it.scenario == scenario.name);
    let (mut usable, mut unusable) = (Vec::new(), Vec::new());
    for document in ours {
        match (document.unusable(), document.measured()) {
            (None, Some(measured)) => usable.push((*document, measured)),
            (why, _) => unusable.extend(why.map(str::to_owned)),
        }
    }
    unusable.sort_unstable();
    unusable.dedup();
    let own = |trial| steady.get(&(scenario.steady.as_str(), client, trial)).copied();
    Cell {
        client: client.to_owned(),
        figures: figures(&usable, own),
        unusable,
        typical: typical(&usable, own),
    }
}

fn typical(runs: &[(&Document, &Measured)], steady: impl Fn(u32) -> Option<f64>) -> Option<Typical> {
    let mut runs = runs.to_vec();
    runs.sort_by_key(|(_, run)| run.elapsed_ns);
    let (document, run) = runs.get(runs.len().checked_sub(1)? / 2)?;
    Some(Typical {
        trial: document.trial,
        run: Compared {
            run: document.run()?,
            steady_ns: steady(document.trial).map(|of_a_call| as_long(of_a_call, run.asked)),
        },
    })
}

/// So many calls of this time each.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "times of runs are positive and below 2^53 ns"
)]
fn as_long(of_a_call: f64, calls: u64) -> u64 {
    (of_a_call * calls as f64) as u64
}

/// The figures of `runs`; `steady` knows the time of a call in each trial where nothing happens.
fn figures(runs: &[(&Document, &Measured)], steady: impl Fn(u32) -> Option<f64>) -> Option<Figures> {
    let of = |figure: fn(&Measured) -> Option<f64>| Spread::of(runs.iter().filter_map(|(_, run)| figure(run)));
    let ratios = runs
        .iter()
        .filter_map(|(document, run)| Some(of_a_call(run)? / steady(document.trial)?));
    Some(Figures {
        trials: runs.len(),
        stopped: runs.iter().filter(|(_, run)| run.stopped).count(),
        ratio: Spread::of(ratios),
        failed: of(|run| Some(count(run.fail)))?,
        slow: of(|run| Some(count(run.slow)))?,
        p999_ms: of(|run| run.latency.map(|latency| ms(latency.p999_ns))),
        max_ms: of(|run| run.latency.map(|latency| ms(latency.max_ns))),
        last_failure_ms: of(|run| run.last_failure_ns.map(ms)),
        harmed_until_ms: of(|run| run.course.harm.map(|harm| ms(harm.last_ns))),
        spread: of(|run| run.course.spread),
        wrongly_evicted: of(|run| run.wrongly_evicted.map(count)),
        first_answer_ms: of(|run| longest(run, |it| it.first_answer_ns)),
        unanswered: runs
            .iter()
            .filter(|(_, run)| ever_without(run, |it| it.first_answer_ns))
            .count(),
        fair_share_ms: of(|run| longest(run, |it| it.fair_share_ns)),
        unrecovered: runs
            .iter()
            .filter(|(_, run)| ever_without(run, |it| it.fair_share_ns))
            .count(),
        processed_twice: of(|run| Some(count(run.processed_twice)))?,
    })
}

/// The longest of a run's recoveries, if all of them came to it.
fn longest(run: &Measured, took_ns: fn(&Recovery) -> Option<u64>) -> Option<f64> {
    let all: Option<Vec<_>> = run.recoveries.iter().map(took_ns).collect();
    all?.into_iter().max().map(ms)
}

/// Whether a recovery of the run did not come to it.
fn ever_without(run: &Measured, took_ns: fn(&Recovery) -> Option<u64>) -> bool {
    run.recoveries.iter().any(|it| took_ns(it).is_none())
}

#[expect(clippy::cast_precision_loss, reason = "runs are shorter than 2^53 ns")]
fn ms(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e6
}

#[expect(clippy::cast_precision_loss, reason = "a run has fewer than 2^53 calls")]
fn count(calls: u64) -> f64 {
    calls as f64
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::record::{ClientFlag, FORMAT, Outcome, ScenarioFlag, Second, sample_environment};
    use crate::report::sample;

    pub(crate) fn environment() -> Environment {
        let mut environment = sample_environment();
        environment.flags.trials = 2;
        environment.flags.scenarios = ["steady", "kill"]
            .map(|name| ScenarioFlag {
                name: name.to_owned(),
                summary: format!("{name} happens"),
                clients: ["obit", "tonic", "gone"].map(str::to_owned).into(),
                steady: "steady".to_owned(),
            })
            .into();
        environment.flags.clients = ["obit", "tonic", "gone"]
            .map(|name| ClientFlag {
                name: name.to_owned(),
                command: None,
                monitor: false,
            })
            .into();
        environment
    }

    fn document(client: &str, scenario: &str, trial: u32, elapsed_ms: u64, fail: u64) -> Document {
        let mut run = sample();
        run.figures.elapsed_ns = elapsed_ms * 1_000_000;
        run.figures.fail = fail;
        run.figures.last_failure_ns = (fail > 0).then_some(1_500_000_000);
        run.course.seconds = vec![Second {
            at_s: 0,
            answered: 3,
            failed: 0,
            p50_ns: 1,
            p99_ns: 2,
            max_ns: 3,
        }];
        Document {
            format: FORMAT,
            scenario: scenario.to_owned(),
            client: client.to_owned(),
            trial,
            seed: 1,
            outcome: Outcome::Measured(Box::new(run.into())),
        }
    }

    pub(crate) fn documents() -> Vec<Document> {
        let mut documents = Vec::new();
        for (client, kill_ms, fail) in [("obit", 4_400, 0), ("tonic", 6_000, 250)] {
            for trial in [1, 2] {
                documents.push(document(client, "steady", trial, 3_900, 0));
                documents.push(document(
                    client,
                    "kill",
                    trial,
                    kill_ms,
                    fail + u64::from(trial) * fail / 250,
                ));
                documents.push(document(client, "steady", trial, 4_100, 0));
            }
        }
        for scenario in ["steady", "kill"] {
            documents.push(Document {
                outcome: Outcome::Absent("there is no go".to_owned()),
                ..document("gone", scenario, 1, 0, 0)
            });
        }
        documents
    }

    #[test]
    fn a_run_is_compared_with_the_mean_of_its_own_steady_runs() {
        let documents = documents();
        let digest = Digest::of(&environment(), &documents);
        let kill = &digest.rows[1];
        let figures: Vec<_> = kill.cells.iter().map(|cell| cell.figures.as_ref()).collect();
        let obit = figures[0].unwrap();
        assert!((obit.ratio.unwrap().median - 1.1).abs() < 1e-9, "{obit:?}");
        assert_eq!((obit.trials, obit.failed.max, obit.last_failure_ms), (2, 0.0, None));
        let tonic = figures[1].unwrap();
        assert_eq!((tonic.failed.min, tonic.failed.max), (251.0, 252.0));
        assert_eq!(tonic.last_failure_ms.unwrap().median, 1_500.0);
    }

    #[test]
    fn more_calls_are_no_slower_run() {
        let mut documents = documents();
        for document in documents.iter_mut().filter(|it| it.scenario == "kill") {
            if let Outcome::Measured(measured) = &mut document.outcome {
                measured.asked *= 2;
                measured.elapsed_ns *= 2;
            }
        }
        let digest = Digest::of(&environment(), &documents);
        let ratio = digest.rows[1].cells[0].figures.as_ref().unwrap().ratio.unwrap();
        assert!((ratio.median - 1.1).abs() < 1e-9, "{ratio:?}");
    }

    #[test]
    fn a_run_is_compared_with_the_steady_runs_of_its_own_kind_of_calls() {
        let (mut environment, mut documents) = (environment(), documents());
        environment.flags.scenarios[1].steady = "steady-bidi".to_owned();
        let ratio = |documents: &[Document]| {
            let digest = Digest::of(&environment, documents);
            digest.rows[1].cells[0].figures.as_ref().unwrap().ratio
        };
        assert_eq!(ratio(&documents), None);
        documents.push(document("obit", "steady-bidi", 1, 2_200, 0));
        assert!((ratio(&documents).unwrap().median - 2.0).abs() < 1e-9);
    }

    #[test]
    fn who_could_not_be_measured_is_there_with_the_reason_once() {
        let digest = Digest::of(&environment(), &documents());
        for row in &digest.rows {
            assert_eq!(row.cells[2].figures, None);
            assert_eq!(row.cells[2].unusable, ["there is no go"]);
        }
        let empty = Digest::of(&environment(), []);
        assert!(
            empty
                .rows
                .iter()
                .flat_map(|row| &row.cells)
                .all(|cell| cell.figures.is_none())
        );
    }
}
