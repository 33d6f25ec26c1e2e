//! An invocation of a bench: part after part on one stage, each within a bound.

use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;

use super::Outcome;

/// A pair that takes so many times longer than estimated is broken off.
const IMPATIENCE: u32 = 10;

/// The parts of a bench, and how it is run.
pub trait Suite: clap::ValueEnum + Copy + Eq + std::fmt::Debug + Send + Sync + 'static {
    /// Every part, in the order they are run.
    const ALL: &'static [Self];

    /// A part's name on the command line and in the reports.
    fn name(self) -> &'static str;

    /// About how long a pair of a part takes, seconds, on a machine that is not busy.
    fn seconds_a_pair(self) -> u32;

    /// Measures one part after the other; `done` hears of each as soon as it is.
    ///
    /// # Errors
    /// When the stage cannot be built, or a run is not what it claims.
    ///
    /// # Cancel safety
    /// Dropping the future kills its processes and deletes its namespaces.
    fn run(
        settings: &BenchSettings<Self>,
        done: impl FnMut(&[Outcome]) -> anyhow::Result<()>,
    ) -> impl Future<Output = anyhow::Result<()>>;
}

/// What the bench is told.
#[derive(Debug, Clone)]
pub struct BenchSettings<P> {
    /// What to measure, in this order.
    pub parts: Vec<P>,
    /// Pairs of a part.
    pub pairs: usize,
    /// Do so little that nothing is measured.
    pub trial: bool,
    /// The `obit` binary.
    pub monitor: PathBuf,
}

/// How much a part does.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scale {
    /// Pairs.
    pub(super) pairs: usize,
    /// Do so little that nothing is measured.
    pub(super) trial: bool,
}

impl Scale {
    /// `full`, or a small part of it where nothing is measured.
    pub(super) fn of(self, full: u32) -> u32 {
        if self.trial { (full / 50).max(2) } else { full }
    }

    /// Says on standard error how far a part is.
    pub(super) fn progress(self, part: impl Suite, pair: usize, what: &str) {
        eprintln!("  {} {}/{}: {what}", part.name(), pair + 1, self.pairs);
    }
}

/// About how long it takes, if the machine is not busy.
#[must_use]
pub fn estimate<P: Suite>(settings: &BenchSettings<P>) -> Duration {
    let seconds = settings.parts.iter().map(|part| part.seconds_a_pair());
    times(seconds.fold(0, u32::saturating_add), settings.pairs)
}

fn times(seconds: u32, pairs: usize) -> Duration {
    let pairs = u32::try_from(pairs).unwrap_or(u32::MAX);
    Duration::from_secs(seconds.saturating_mul(pairs).into())
}

/// Has each part measured within its bound, and `done` hear of it.
pub(super) async fn each<P: Suite>(
    settings: &BenchSettings<P>,
    measure: impl AsyncFn(P, Scale) -> anyhow::Result<Vec<Outcome>>,
    mut done: impl FnMut(&[Outcome]) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let scale = Scale {
        pairs: settings.pairs,
        trial: settings.trial,
    };
    for part in &settings.parts {
        let bound = IMPATIENCE * times(part.seconds_a_pair(), settings.pairs) + Duration::from_secs(60);
        let measured = tokio::time::timeout(bound, measure(*part, scale)).await;
        let mut outcomes = measured
            .with_context(|| format!("{}: not done within {bound:?}", part.name()))?
            .with_context(|| part.name())?;
        if settings.trial {
            for outcome in &mut outcomes {
                outcome.exempt = Some("a trial: too little was done to be judged".into());
            }
        }
        done(&outcomes)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{client, monitor};
    use super::*;

    fn minutes<P: Suite>() -> u64 {
        let whole = BenchSettings {
            parts: P::ALL.to_vec(),
            pairs: 7,
            trial: false,
            monitor: PathBuf::new(),
        };
        estimate(&whole).as_secs() / 60
    }

    #[test]
    fn a_whole_bench_takes_minutes() {
        for minutes in [minutes::<monitor::Part>(), minutes::<client::Part>()] {
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
        assert!(names_agree::<monitor::Part>() && names_agree::<client::Part>());
    }

    #[test]
    fn a_trial_does_little_but_something() {
        let scale = Scale { pairs: 1, trial: true };
        assert_eq!((scale.of(60_000), scale.of(20)), (1_200, 2));
        assert_eq!(Scale { trial: false, ..scale }.of(20), 20);
    }
}
