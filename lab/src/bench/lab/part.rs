//! The parts: each a scenario between two steady runs of the same client, pair by pair, and what its median must be.

use std::time::Duration;

use anyhow::Context as _;

use crate::bench::run::{BenchSettings, Scale, Suite, each};
use crate::bench::spread::in_unit;
use crate::bench::{Outcome, Pairs, Spread, Target};
use crate::pod::THINK_TIME;
use crate::report::Compared;
use crate::run::Settings;
use crate::scenario::{Action, Scenario, builtin};
use crate::session::compare;
use crate::workload::ClientKind;

/// Callers.
const CALLERS: u32 = 500;

/// How long the workload goes on after the last thing happened, where the full one would go on for longer.
const AFTERMATH: Duration = Duration::from_millis(500);

/// When a run whose calls hang is stopped.
const BOUND: Duration = Duration::from_secs(60);

/// How much of a steady run's pace is left at least: a run takes 1.05 times as long at most.
const PACE: f64 = 0.952;

/// One part of the bench.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    /// One of five pods is killed.
    Kill,
    /// One of five pods vanishes in silence.
    Blackhole,
    /// All pods are replaced, one by one.
    Rolling,
    /// Two pods join, and leave again.
    Scale,
}

impl Suite for Part {
    const NAME: &'static str = "lab";

    const ALL: &'static [Self] = &[Self::Kill, Self::Blackhole, Self::Rolling, Self::Scale];

    fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Blackhole => "blackhole",
            Self::Rolling => "rolling",
            Self::Scale => "scale",
        }
    }

    fn seconds_a_pair(self) -> u32 {
        match self {
            Self::Kill | Self::Blackhole => 16,
            Self::Rolling => 22,
            Self::Scale => 28,
        }
    }

    fn quick_pairs(self) -> usize {
        match self {
            Self::Kill | Self::Blackhole => 2,
            Self::Rolling | Self::Scale => 1,
        }
    }

    async fn run(
        settings: &BenchSettings<Self>,
        done: impl FnMut(Self, anyhow::Result<Vec<Outcome>>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        each(settings, async |part, scale| part.measure(settings, scale).await, done).await
    }
}

impl Part {
    async fn measure(self, settings: &BenchSettings<Self>, scale: Scale) -> anyhow::Result<Vec<Outcome>> {
        let scenario = builtin(self.name()).with_context(|| format!("there is no scenario {:?}", self.name()))?;
        let mut pairs = Vec::new();
        for pair in 0..scale.pairs {
            let settings = Settings {
                concurrency: scale.of(CALLERS).into(),
                requests: requests(scenario, scale),
                // Each pair has another victim, and each run of the bench the same ones.
                seed: pair as u64,
                idempotent: true,
                bound: BOUND,
                monitor: settings.monitor.clone(),
            };
            let compared = compare(&[scenario], &ClientKind::Obit.into(), &settings).await?;
            let found = Pair::of(&compared.into_iter().next().context("no run")?)?;
            scale.progress(self, pair, &found.said());
            pairs.push(found);
        }
        self.outcomes(&pairs)
    }

    fn outcomes(self, pairs: &[Pair]) -> anyhow::Result<Vec<Outcome>> {
        let mut outcomes = vec![self.elapsed(pairs)?, self.failed(pairs)?];
        // A node that is lost is noticed by silence, within a tenth of a second; whatever else happens tells sooner.
        let slowest = if self == Self::Blackhole { 250.0 } else { 1_000.0 };
        outcomes.push(self.within("slowest call", pairs, slowest, |pair| Some(pair.slowest_ms))?);
        match self {
            Self::Kill | Self::Blackhole => {
                outcomes.push(self.within("out of rotation", pairs, 100.0, |pair| pair.evicted_ms)?);
            }
            Self::Rolling | Self::Scale => {
                outcomes.push(self.within("first answer", pairs, 100.0, |pair| pair.first_answer_ms)?);
            }
        }
        if self == Self::Scale {
            outcomes.push(self.within("fair share", pairs, 1_000.0, |pair| pair.fair_share_ms)?);
        }
        Ok(outcomes)
    }

    /// How long the runs took beside those in which nothing happened.
    fn elapsed(self, pairs: &[Pair]) -> anyhow::Result<Outcome> {
        let spread = |of: fn(&Pair) -> f64| Pairs::of(pairs.iter().map(of)).context("a time is no number");
        Ok(Outcome {
            part: self.name(),
            quantity: "elapsed",
            unit: "s",
            a: Some(spread(|pair| pair.steady_s)?),
            b: spread(|pair| pair.elapsed_s)?,
            ratio: Some(spread(|pair| pair.steady_s / pair.elapsed_s)?),
            target: Target::RatioAtLeast(PACE),
            fault: None,
            exempt: None,
            remark: None,
            figures: Vec::new(),
        })
    }

    fn failed(self, pairs: &[Pair]) -> anyhow::Result<Outcome> {
        let counts: Vec<_> = pairs.iter().map(|pair| pair.failed).collect();
        let failure = pairs.iter().find_map(|pair| pair.failure.as_deref());
        let mut outcome = Outcome::never(self.name(), "failed calls", "calls", &counts, failure)?;
        let wronged = Spread::of(pairs.iter().map(|pair| in_unit(pair.wrongly_evicted, 1.0)));
        outcome.figures = wronged.map(|it| ("wrongly_evicted", it.max)).into_iter().collect();
        Ok(outcome)
    }

    /// A time that is known of most pairs, and must be of all.
    fn within(
        self,
        quantity: &'static str,
        pairs: &[Pair],
        most: f64,
        of: fn(&Pair) -> Option<f64>,
    ) -> anyhow::Result<Outcome> {
        let known: Vec<_> = pairs.iter().filter_map(of).collect();
        let unknown = pairs.len() - known.len();
        let outcome = Outcome::at_most(self.name(), quantity, "ms", known, most);
        let mut outcome = outcome.with_context(|| format!("{quantity}: never, in any pair"))?;
        outcome.fault = (unknown > 0).then(|| format!("never, in {unknown} of {} pairs", pairs.len()));
        Ok(outcome)
    }
}

/// Calls of each caller: where little work is done, as many as last until the script is over.
fn requests(scenario: &Scenario, scale: Scale) -> u64 {
    if scale.is_full() {
        return scenario.requests;
    }
    // Who has long turned away from a pod need not wait until it is unreachable.
    let script = scenario
        .events
        .iter()
        .filter(|event| event.action != Action::RejectHostUnreachable);
    let last = script.map(|event| event.at).max().unwrap_or_default() + AFTERMATH;
    let needed = last.as_millis().div_ceil(THINK_TIME.as_millis());
    u64::try_from(needed).map_or(scenario.requests, |needed| needed.min(scenario.requests))
}

/// What one run shows, beside its steady ones.
#[derive(Debug, Clone)]
struct Pair {
    steady_s: f64,
    elapsed_s: f64,
    failed: u64,
    /// The error of one that failed.
    failure: Option<String>,
    slowest_ms: f64,
    evicted_ms: Option<f64>,
    wrongly_evicted: u64,
    /// Of the pod that had it last.
    first_answer_ms: Option<f64>,
    fair_share_ms: Option<f64>,
}

impl Pair {
    fn of(Compared { run, steady_ns }: &Compared) -> anyhow::Result<Self> {
        let last = |of: Vec<Option<u64>>| {
            let all = of.into_iter().collect::<Option<Vec<_>>>();
            all.and_then(|all| all.into_iter().max()).map(|ns| in_unit(ns, 1e6))
        };
        let recoveries = run.recoveries.iter();
        Ok(Self {
            steady_s: in_unit(steady_ns.context("no steady run")?, 1e9),
            elapsed_s: in_unit(run.figures.elapsed_ns, 1e9),
            failed: run.figures.fail,
            failure: run.figures.failures.keys().next().cloned(),
            slowest_ms: in_unit(run.figures.latency.max_ns, 1e6),
            evicted_ms: run.evicted_after_ns.map(|ns| in_unit(ns, 1e6)),
            wrongly_evicted: run.wrongly_evicted.unwrap_or_default(),
            first_answer_ms: last(recoveries.clone().map(|it| it.first_answer_ns).collect()),
            fair_share_ms: last(recoveries.map(|it| it.fair_share_ns).collect()),
        })
    }

    fn said(&self) -> String {
        format!(
            "{:.3} x its steady runs, {} failed, slowest {:.0} ms",
            self.elapsed_s / self.steady_s,
            self.failed,
            self.slowest_ms
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::Effort;
    use crate::bench::run::PAIRS;

    fn pair() -> Pair {
        Pair {
            steady_s: 4.0,
            elapsed_s: 4.1,
            failed: 0,
            failure: None,
            slowest_ms: 90.0,
            evicted_ms: Some(70.0),
            wrongly_evicted: 0,
            first_answer_ms: Some(20.0),
            fair_share_ms: Some(200.0),
        }
    }

    fn missed(part: Part, pairs: &[Pair]) -> Vec<&'static str> {
        let outcomes = part.outcomes(pairs).unwrap();
        let missed = outcomes.iter().filter(|outcome| outcome.met() == Some(false));
        missed.map(|outcome| outcome.quantity).collect()
    }

    #[test]
    fn a_run_that_keeps_its_promises_misses_nothing_and_every_broken_one_is_named() {
        for part in Part::ALL {
            assert_eq!(missed(*part, &[pair(), pair()]), [""; 0], "{part:?}");
        }
        let bad = Pair {
            steady_s: 4.0,
            elapsed_s: 4.3,
            failed: 1,
            failure: Some("reset".to_owned()),
            slowest_ms: 1_200.0,
            evicted_ms: None,
            wrongly_evicted: 1,
            first_answer_ms: Some(101.0),
            fair_share_ms: None,
        };
        let mixed = [bad.clone(), bad, pair()];
        let both = ["elapsed", "failed calls", "slowest call"];
        assert_eq!(missed(Part::Kill, &mixed), [&both[..], &["out of rotation"]].concat());
        assert_eq!(missed(Part::Rolling, &mixed), [&both[..], &["first answer"]].concat());
        assert_eq!(
            missed(Part::Scale, &mixed),
            [&both[..], &["first answer", "fair share"]].concat()
        );
    }

    #[test]
    fn a_vanished_pod_may_hold_up_no_call_for_longer_than_a_quarter_of_a_second() {
        let slow = Pair {
            slowest_ms: 300.0,
            ..pair()
        };
        assert_eq!(missed(Part::Blackhole, std::slice::from_ref(&slow)), ["slowest call"]);
        assert_eq!(missed(Part::Kill, &[slow]), [""; 0]);
    }

    #[test]
    fn what_happened_in_no_pair_cannot_be_told() {
        let never = Pair {
            evicted_ms: None,
            ..pair()
        };
        let error = format!("{:#}", Part::Kill.outcomes(&[never]).unwrap_err());
        assert!(error.contains("out of rotation: never"), "{error}");
    }

    #[test]
    fn little_work_still_lasts_as_long_as_the_script() {
        let of = |name, effort| requests(builtin(name).unwrap(), Scale { pairs: 1, effort });
        assert_eq!(of("kill", Effort::Full), 200);
        assert_eq!(of("kill", Effort::Quick), 170);
        assert_eq!(of("scale", Effort::Trial), 270);
    }

    #[test]
    fn quick_runs_show_that_the_promises_hold_and_full_ones_can_be_compared() {
        assert!(Part::ALL.iter().all(|part| (1..PAIRS).contains(&part.quick_pairs())));
    }
}
