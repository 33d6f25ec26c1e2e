//! An invocation of the bench: part after part on one stage, each within a bound.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;

use super::stage::{Stage, ensure_no_other_monitor};
use super::{Outcome, Part};

/// A pair that takes so many times longer than estimated is broken off.
const IMPATIENCE: u32 = 10;

/// What the bench is told.
#[derive(Debug, Clone)]
pub struct BenchSettings {
    /// What to measure, in this order.
    pub parts: Vec<Part>,
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
}

/// About how long it takes, if the machine is not busy.
#[must_use]
pub fn estimate(settings: &BenchSettings) -> Duration {
    let pairs = u32::try_from(settings.pairs).unwrap_or(u32::MAX);
    let seconds = settings
        .parts
        .iter()
        .map(|part| part.seconds_a_pair().saturating_mul(pairs));
    Duration::from_secs(seconds.fold(0, u32::saturating_add).into())
}

/// Measures one part after the other; `done` hears of each as soon as it is.
///
/// # Errors
/// When the stage cannot be built, or a run is not what it claims.
///
/// # Cancel safety
/// Dropping the future kills its processes and deletes its namespaces.
pub async fn run(
    settings: &BenchSettings,
    mut done: impl FnMut(&[Outcome]) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let stage = Stage::build(settings.monitor.clone())?;
    let scale = Scale {
        pairs: settings.pairs,
        trial: settings.trial,
    };
    for part in &settings.parts {
        // A trial judges nothing, and so may run beside others.
        if !settings.trial {
            ensure_no_other_monitor(None)?;
        }
        let alone = BenchSettings {
            parts: vec![*part],
            ..settings.clone()
        };
        let bound = IMPATIENCE * estimate(&alone) + Duration::from_secs(60);
        let measured = tokio::time::timeout(bound, part.measure(&stage, scale)).await;
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
    use super::*;

    #[test]
    fn the_whole_bench_takes_minutes() {
        let settings = BenchSettings {
            parts: Part::ALL.to_vec(),
            pairs: 7,
            trial: false,
            monitor: PathBuf::new(),
        };
        let minutes = estimate(&settings).as_secs() / 60;
        assert!((5..=15).contains(&minutes), "{minutes} min");
    }

    #[test]
    fn a_trial_does_little_but_something() {
        let scale = Scale { pairs: 1, trial: true };
        assert_eq!((scale.of(60_000), scale.of(20)), (1_200, 2));
        assert_eq!(Scale { trial: false, ..scale }.of(20), 20);
    }
}
