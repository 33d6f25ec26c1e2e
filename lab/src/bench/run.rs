//! An invocation of a bench: part after part on one stage, each within a bound.

use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;

use super::others::{self, Moment};
use super::{Outcome, Target};

/// A pair that takes so many times longer than estimated is broken off.
const IMPATIENCE: u32 = 10;

/// How long processes that were killed may take to be gone.
const REAPED: Duration = Duration::from_millis(50);

/// The parts of a bench, and how it is run.
pub trait Suite: clap::ValueEnum + Copy + Eq + std::fmt::Debug + Send + Sync + 'static {
    /// The bench's name on the command line and in results.
    const NAME: &'static str;

    /// Every part, in the order they are run.
    const ALL: &'static [Self];

    /// A part's name on the command line and in the reports.
    fn name(self) -> &'static str;

    /// About how long a pair of a part takes, seconds, on a machine that is not busy.
    fn seconds_a_pair(self) -> u32;

    /// How many pairs of a part are made where little time is had: of the cheap ones as many as a comparison needs, of those that
    /// take seconds however little is done so many as show that they work.
    fn quick_pairs(self) -> usize;

    /// Measures one part after the other; `done` hears of each as soon as it is, or has failed.
    ///
    /// # Errors
    /// When the stage cannot be built, or what `done` says: then the other parts are not measured.
    ///
    /// # Cancel safety
    /// Dropping the future kills its processes and deletes its namespaces.
    fn run(
        settings: &BenchSettings<Self>,
        done: impl FnMut(Self, anyhow::Result<Vec<Outcome>>) -> anyhow::Result<()>,
    ) -> impl Future<Output = anyhow::Result<()>>;
}

/// How much of the work is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effort {
    /// All of it: what the targets are meant for.
    Full,
    /// A fifth: little enough for every change, enough to be compared with another run of the same effort.
    Quick,
    /// A fiftieth: shows that the bench works.
    Trial,
}

/// What the bench is told.
#[derive(Debug, Clone)]
pub struct BenchSettings<P> {
    /// What to measure, in this order.
    pub parts: Vec<P>,
    /// Pairs of a part; as many as the effort affords unless given.
    pub pairs: Option<usize>,
    /// How much of the work is done.
    pub effort: Effort,
    /// The `obit` binary.
    pub monitor: PathBuf,
}

/// Pairs of a part, as many as a comparison of two runs needs: of six against six not even two that have nothing in common are
/// told from noise among so many rows.
pub(super) const PAIRS: usize = 7;

impl<P: Suite> BenchSettings<P> {
    /// Pairs of this part.
    #[must_use]
    pub fn pairs_of(&self, part: P) -> usize {
        self.pairs.unwrap_or(match self.effort {
            Effort::Full => PAIRS,
            Effort::Quick => part.quick_pairs(),
            Effort::Trial => 1,
        })
    }
}

/// How much a part does.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scale {
    /// Pairs.
    pub(super) pairs: usize,
    /// How much of the work is done.
    pub(super) effort: Effort,
}

impl Scale {
    /// `full`, or a part of it.
    pub(super) fn of(self, full: u32) -> u32 {
        match self.effort {
            Effort::Full => full,
            Effort::Quick => (full / 5).max(2),
            Effort::Trial => (full / 50).max(2),
        }
    }

    /// Whether all of the work is done.
    pub(super) fn is_full(self) -> bool {
        self.effort == Effort::Full
    }

    /// Whether so little is done that nothing is measured.
    pub(super) fn is_trial(self) -> bool {
        self.effort == Effort::Trial
    }

    /// Says on standard error how far a part is.
    pub(super) fn progress(self, part: impl Suite, pair: usize, what: &str) {
        eprintln!("  {} {}/{}: {what}", part.name(), pair + 1, self.pairs);
    }
}

/// About how long all of the work takes, if the machine is not busy.
#[must_use]
pub fn estimate<P: Suite>(settings: &BenchSettings<P>) -> Duration {
    let parts = settings.parts.iter();
    parts.map(|part| part_of(*part, settings)).sum()
}

fn part_of<P: Suite>(part: P, settings: &BenchSettings<P>) -> Duration {
    let pairs = u32::try_from(settings.pairs_of(part)).unwrap_or(u32::MAX);
    Duration::from_secs(part.seconds_a_pair().saturating_mul(pairs).into())
}

/// Has each part measured within its bound, and `done` hear of it.
pub(super) async fn each<P: Suite>(
    settings: &BenchSettings<P>,
    measure: impl AsyncFn(P, Scale) -> anyhow::Result<Vec<Outcome>>,
    mut done: impl FnMut(P, anyhow::Result<Vec<Outcome>>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    for part in &settings.parts {
        let scale = Scale {
            pairs: settings.pairs_of(*part),
            effort: settings.effort,
        };
        let bound = IMPATIENCE * part_of(*part, settings) + Duration::from_secs(60);
        let before = Moment::now()?;
        let measured = tokio::time::timeout(bound, measure(*part, scale)).await;
        // Until the part's processes are waited for, their time is not known to be ours.
        tokio::time::sleep(REAPED).await;
        let others = before.others_percent(Moment::now()?, std::thread::available_parallelism()?.into());
        let measured = measured
            .with_context(|| format!("{}: not done within {bound:?}", part.name()))
            .and_then(|measured| measured.with_context(|| part.name()));
        let judged = |outcomes: Vec<Outcome>| {
            let judged = outcomes.into_iter().map(|it| judgeable(it, settings.effort));
            judged.map(|it| beside(it, others)).collect()
        };
        done(*part, measured.map(judged))?;
    }
    Ok(())
}

/// What is measured beside others is theirs too.
fn beside(mut outcome: Outcome, others_percent: f64) -> Outcome {
    outcome.figures.push((others::FIGURE, others_percent));
    outcome
}

/// With less than the full work only what must never happen is judged: that holds however little is done.
fn judgeable(mut outcome: Outcome, effort: Effort) -> Outcome {
    outcome.exempt = match effort {
        Effort::Trial => Some("a trial: too little was done to be judged".into()),
        Effort::Quick if outcome.target != Target::AtMost(0.0) => Some("quick".into()),
        Effort::Quick | Effort::Full => outcome.exempt,
    };
    outcome
}

#[cfg(test)]
mod tests {
    use super::super::outcome::tests::sample;
    use super::super::{client, lab, monitor};
    use super::*;

    fn minutes<P: Suite>() -> u64 {
        let whole = BenchSettings {
            parts: P::ALL.to_vec(),
            pairs: None,
            effort: Effort::Full,
            monitor: PathBuf::new(),
        };
        estimate(&whole).as_secs() / 60
    }

    #[test]
    fn a_whole_bench_takes_minutes() {
        for minutes in [
            minutes::<monitor::Part>(),
            minutes::<client::Part>(),
            minutes::<lab::Part>(),
        ] {
            assert!((5..=15).contains(&minutes), "{minutes} min");
        }
    }

    fn names_agree<P: Suite>() -> bool {
        let on_command_line = P::value_variants()
            .iter()
            .filter_map(clap::ValueEnum::to_possible_value);
        let on_command_line: Vec<_> = on_command_line.map(|value| value.get_name().to_owned()).collect();
        on_command_line.iter().eq(P::ALL.iter().map(|part| part.name()))
    }

    #[test]
    fn parts_are_called_the_same_on_the_command_line_and_in_reports() {
        assert!(names_agree::<monitor::Part>() && names_agree::<client::Part>() && names_agree::<lab::Part>());
    }

    #[test]
    fn a_trial_does_little_but_something() {
        let of = |effort, full| Scale { pairs: 1, effort }.of(full);
        assert_eq!((of(Effort::Trial, 60_000), of(Effort::Trial, 20)), (1_200, 2));
        assert_eq!((of(Effort::Quick, 60_000), of(Effort::Full, 20)), (12_000, 20));
    }

    #[test]
    fn pairs_are_as_many_as_the_effort_affords_unless_given() {
        let pairs = |pairs, effort, part| {
            let settings = BenchSettings {
                parts: vec![],
                pairs,
                effort,
                monitor: PathBuf::new(),
            };
            settings.pairs_of(part)
        };
        let (cheap, dear) = (client::Part::Pick, client::Part::FalseDeath);
        assert_eq!(pairs(None, Effort::Full, dear), 7);
        assert_eq!([cheap, dear].map(|part| pairs(None, Effort::Quick, part)), [7, 2]);
        assert_eq!(pairs(None, Effort::Trial, cheap), 1);
        assert_eq!(pairs(Some(20), Effort::Quick, dear), 20);
    }

    #[test]
    fn with_less_work_only_what_must_never_happen_is_judged() {
        let met = |target, effort| judgeable(Outcome { target, ..sample() }, effort).met();
        let (never, at_least) = (Target::AtMost(0.0), Target::RatioAtLeast(0.9));
        assert_eq!(
            [never, at_least].map(|it| met(it, Effort::Full)),
            [Some(false), Some(true)]
        );
        assert_eq!([never, at_least].map(|it| met(it, Effort::Quick)), [Some(false), None]);
        assert_eq!([never, at_least].map(|it| met(it, Effort::Trial)), [None, None]);
    }
}
