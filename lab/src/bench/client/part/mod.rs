//! The parts of the client library's bench: what each measures, pair by pair, and what its median must be.

mod allocations;
mod blackhole;
mod endpoints;
mod evict;
mod false_death;
mod map_read;
mod pick;
mod scenario;
mod shutdowns;
mod throughput;

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};

use super::stage::Stage;
use crate::bench::run::{BenchSettings, PAIRS, Scale, Suite, each};
use crate::bench::spread::in_unit;
use crate::bench::{Outcome, Spread};
use crate::child::LabProcess;

/// One part of the bench.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    /// Calls through obit's client beside calls through bare hyper.
    ThroughputHyper,
    /// Calls of tonic over obit's client beside calls of tonic's own balancer.
    ThroughputTonic,
    /// Reading a peer's health.
    MapRead,
    /// Picking one of a thousand endpoints.
    Pick,
    /// What is allocated for a pick.
    Allocations,
    /// Ten thousand calls in flight on an endpoint that dies.
    #[value(name = "evict-10k")]
    Evict10k,
    /// The memory of five thousand endpoints.
    #[value(name = "endpoints-5k")]
    Endpoints5k,
    /// A pod that vanishes in silence under calls.
    Blackhole,
    /// Pods that live and do not look like it.
    FalseDeath,
    /// One of five pods is killed under load.
    Golem,
    /// All pods are replaced, one by one, under load.
    Rolling,
    /// All pods die and come back.
    AllDead,
    /// The monitor dies under load.
    MonitorDies,
    /// Servers that send their clients away all the time.
    Goaway,
    /// Servers that shut their connections down at random moments.
    Shutdowns,
}

impl Suite for Part {
    const NAME: &'static str = "client";

    const ALL: &'static [Self] = &[
        Self::ThroughputHyper,
        Self::ThroughputTonic,
        Self::MapRead,
        Self::Pick,
        Self::Allocations,
        Self::Evict10k,
        Self::Endpoints5k,
        Self::Blackhole,
        Self::FalseDeath,
        Self::Golem,
        Self::Rolling,
        Self::AllDead,
        Self::MonitorDies,
        Self::Goaway,
        Self::Shutdowns,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::ThroughputHyper => "throughput-hyper",
            Self::ThroughputTonic => "throughput-tonic",
            Self::MapRead => "map-read",
            Self::Pick => "pick",
            Self::Allocations => "allocations",
            Self::Evict10k => "evict-10k",
            Self::Endpoints5k => "endpoints-5k",
            Self::Blackhole => "blackhole",
            Self::FalseDeath => "false-death",
            Self::Golem => "golem",
            Self::Rolling => "rolling",
            Self::AllDead => "all-dead",
            Self::MonitorDies => "monitor-dies",
            Self::Goaway => "goaway",
            Self::Shutdowns => "shutdowns",
        }
    }

    fn seconds_a_pair(self) -> u32 {
        match self {
            Self::ThroughputHyper => 13,
            Self::ThroughputTonic => 16,
            Self::MapRead | Self::Allocations => 1,
            Self::Pick | Self::Evict10k => 2,
            Self::Endpoints5k | Self::Golem | Self::MonitorDies | Self::Goaway => 3,
            Self::Shutdowns => 4,
            Self::Blackhole => 9,
            Self::FalseDeath => 14,
            Self::Rolling | Self::AllDead => 5,
        }
    }

    fn quick_pairs(self) -> usize {
        match self {
            Self::Blackhole | Self::FalseDeath => 2,
            Self::Rolling | Self::AllDead | Self::MonitorDies | Self::Goaway | Self::Shutdowns => 3,
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
        match self {
            Self::ThroughputHyper | Self::ThroughputTonic => throughput::measure(self, stage, scale).await,
            Self::MapRead => map_read::measure(stage, scale).await,
            Self::Pick => pick::measure(stage, scale).await,
            Self::Allocations => allocations::measure(stage, scale).await,
            Self::Evict10k => evict::measure(stage, scale).await,
            Self::Endpoints5k => endpoints::measure(stage, scale).await,
            Self::Blackhole => blackhole::measure(stage, scale).await,
            Self::FalseDeath => false_death::measure(stage, scale).await,
            Self::Golem => scenario::golem(stage, scale).await,
            Self::Rolling => scenario::rolling(stage, scale).await,
            Self::AllDead => scenario::all_dead(stage, scale).await,
            Self::MonitorDies => scenario::monitor_dies(stage, scale).await,
            Self::Goaway => scenario::goaway(stage, scale).await,
            Self::Shutdowns => shutdowns::measure(stage, scale).await,
        }
    }

    /// An outcome with one side: so many of `quantity`, one number a pair, and not more than `most`.
    fn at_most(
        self,
        quantity: &'static str,
        unit: &'static str,
        values: impl IntoIterator<Item = f64>,
        most: f64,
    ) -> anyhow::Result<Outcome> {
        Outcome::at_most(self.name(), quantity, unit, values, most)
    }

    /// The same of what must not happen in any pair: the median does not hide it.
    fn never(
        self,
        quantity: &'static str,
        unit: &'static str,
        counts: &[u64],
        what: Option<&str>,
    ) -> anyhow::Result<Outcome> {
        Outcome::never(self.name(), quantity, unit, counts, what)
    }
}

/// Sends a signal to a process of the bench.
fn signal(process: &LabProcess, signal: Signal) -> anyhow::Result<()> {
    let pid = process.pid().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
    let pid = pid.with_context(|| format!("{} has ended", process.name()))?;
    kill_process(pid, signal).with_context(|| format!("send {signal:?} to {}", process.name()))
}

/// The median, for a figure beside an outcome.
fn median(values: impl IntoIterator<Item = f64>) -> anyhow::Result<f64> {
    let spread = Spread::of(values).context("nothing was measured")?;
    Ok(spread.median)
}
