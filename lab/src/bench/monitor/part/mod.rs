//! The parts of the bench: what each measures, pair by pair, and what its median must be.

mod cost;
mod crowd;
mod latency;
mod stall;
mod storm;
mod vanish;

use super::stage::{Stage, ensure_no_other_monitor};
use crate::bench::daemon::Usage;
use crate::bench::run::{BenchSettings, PAIRS, Scale, Suite, each};
use crate::bench::spread::in_unit;
use crate::bench::{Outcome, Spread};

/// One part of the bench.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    /// Connecting and closing, to a peer nobody watches: throughput without and with the monitor.
    ChurnUnwatched,
    /// The same to a watched peer.
    ChurnWatched,
    /// Request and response on established connections to a watched peer.
    Established,
    /// Ten thousand watched peers, a thousand subscribers: memory.
    #[value(name = "watched-10k")]
    Watched10k,
    /// Refused dials as fast as 25 000 a second: is any uncounted, and does another peer's verdict wait?
    Storm,
    /// From a refusal in the kernel to a subscriber, without load.
    LatencyIdle,
    /// The same with every processor kept busy by ordinary threads.
    LatencyBusy,
    /// How late an unanswered dial is suspected once its threshold ran out.
    Stall,
    /// How soon two connections to a peer that vanished are called dead.
    Vanish,
}

impl Suite for Part {
    const NAME: &'static str = "monitor";

    const ALL: &'static [Self] = &[
        Self::ChurnUnwatched,
        Self::ChurnWatched,
        Self::Established,
        Self::Watched10k,
        Self::Storm,
        Self::LatencyIdle,
        Self::LatencyBusy,
        Self::Stall,
        Self::Vanish,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::ChurnUnwatched => "churn-unwatched",
            Self::ChurnWatched => "churn-watched",
            Self::Established => "established",
            Self::Watched10k => "watched-10k",
            Self::Storm => "storm",
            Self::LatencyIdle => "latency-idle",
            Self::LatencyBusy => "latency-busy",
            Self::Stall => "stall",
            Self::Vanish => "vanish",
        }
    }

    fn seconds_a_pair(self) -> u32 {
        match self {
            Self::ChurnUnwatched | Self::ChurnWatched | Self::Established => 9,
            Self::Watched10k => 10,
            Self::Storm => 11,
            Self::LatencyIdle | Self::LatencyBusy => 6,
            Self::Stall => 10,
            Self::Vanish => 5,
        }
    }

    fn quick_pairs(self) -> usize {
        match self {
            Self::Watched10k | Self::Storm => 2,
            _ => PAIRS,
        }
    }

    async fn run(
        settings: &BenchSettings<Self>,
        done: impl FnMut(Self, anyhow::Result<Vec<Outcome>>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let stage = Stage::build(settings.monitor.clone())?;
        each(settings, async |part, scale| part.measure(&stage, scale).await, done).await
    }
}

impl Part {
    /// Measures it.
    async fn measure(self, stage: &Stage, scale: Scale) -> anyhow::Result<Vec<Outcome>> {
        // A trial judges nothing, and so may run beside others.
        if !scale.is_trial() {
            ensure_no_other_monitor(None)?;
        }
        match self {
            Self::ChurnUnwatched | Self::ChurnWatched | Self::Established => cost::measure(self, stage, scale).await,
            Self::Watched10k => crowd::measure(stage, scale).await,
            Self::Storm => storm::measure(stage, scale).await,
            Self::LatencyIdle | Self::LatencyBusy => latency::measure(self, stage, scale).await,
            Self::Stall => stall::measure(stage, scale).await,
            Self::Vanish => vanish::measure(stage, scale).await,
        }
    }
}

/// The port of peers that are watched, or that could be.
const PORT: u16 = 7_000;

/// The medians of what the monitor took.
fn usage(usages: &[Usage]) -> Vec<(&'static str, f64)> {
    let median = |of: fn(&Usage) -> f64| Spread::of(usages.iter().map(of)).map(|spread| spread.median);
    let figures = [
        ("monitor_cpu_percent", median(|usage| usage.cpu_percent)),
        ("monitor_rss_mib", median(|usage| usage.rss_mib)),
        ("monitor_peak_mib", median(|usage| usage.peak_mib)),
    ];
    let known = figures.into_iter().filter_map(|(name, value)| Some((name, value?)));
    known.collect()
}
