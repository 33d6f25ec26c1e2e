//! What the benches, and the latency scenario beside them, can be told.

use std::path::PathBuf;

use crate::bench::{BenchSettings, Chosen, Effort, Suite, client, lab, monitor};
use crate::child::monitor_program;
use crate::latency::LatencySettings;
use crate::workload::ClientKind;

/// The benches: all of them in one run, or one.
#[derive(Debug, Clone, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct BenchesArgs {
    /// One of them; without it all are run, and their results kept in one file.
    #[command(subcommand)]
    pub what: Option<BenchCommand>,
    /// How all are run.
    #[command(flatten)]
    pub all: GatherArgs,
}

/// What can be measured by itself, and what can be done with results.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum BenchCommand {
    /// What the monitor costs and how fast it is.
    Monitor(BenchArgs<monitor::Part>),
    /// What the client library costs and how fast it is.
    Client(BenchArgs<client::Part>),
    /// What becomes of calls in the lab's scenarios, beside runs in which nothing happens.
    Lab(BenchArgs<lab::Part>),
    /// What changed between two runs of all benches, and what is noise. Needs no root.
    ///
    /// Ends with 0 if nothing got worse, with 1 if something did, and with 2 if the files are none that can be compared.
    Diff(DiffArgs),
}

/// How much work is done.
#[derive(Debug, Clone, clap::Args)]
pub struct EffortArgs {
    /// How often each part is measured; its two sides by turns where it has two. 7 times unless given: of fewer pairs no comparison
    /// can tell a change from noise. With --quick fewer where a pair takes long, with --trial once.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1_000))]
    pub pairs: Option<u16>,
    /// Do a fifth of the work: to be compared with another quick run, not with the targets.
    #[arg(long)]
    pub quick: bool,
    /// Do a fiftieth of the work, beside whatever else runs: shows that the bench works, judges nothing.
    #[arg(long, conflicts_with = "quick")]
    pub trial: bool,
}

impl EffortArgs {
    /// Pairs of each part, if they were given.
    #[must_use]
    pub fn pairs(&self) -> Option<usize> {
        self.pairs.map(usize::from)
    }

    /// How much of the work is done.
    #[must_use]
    pub fn effort(&self) -> Effort {
        match (self.quick, self.trial) {
            (false, false) => Effort::Full,
            (true, _) => Effort::Quick,
            (false, true) => Effort::Trial,
        }
    }
}

/// What a run of all benches can be told.
#[derive(Debug, Clone, clap::Args)]
pub struct GatherArgs {
    /// Where the results go; into the folder `bench` beside what cargo built, named after the date, unless given.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// A part to measure, as `monitor/stall`, or a bench, as `lab`; repeat it for several. Everything unless given.
    #[arg(long = "part", value_name = "NAME", value_parser = Chosen::named)]
    pub parts: Vec<Chosen>,
    /// How much of it.
    #[command(flatten)]
    pub effort: EffortArgs,
    /// The tables as markdown.
    #[arg(long)]
    pub markdown: bool,
    /// The `obit` binary; the one beside this program unless given.
    #[arg(long, value_name = "PATH")]
    pub monitor: Option<PathBuf>,
}

/// What is compared.
#[derive(Debug, Clone, clap::Args)]
pub struct DiffArgs {
    /// The results of the run before.
    #[arg(value_name = "A")]
    pub a: PathBuf,
    /// The results of the run after.
    #[arg(value_name = "B")]
    pub b: PathBuf,
    /// One line of JSON a row, instead of a table.
    #[arg(long)]
    pub json: bool,
}

/// What a bench can be told.
#[derive(Debug, Clone, clap::Args)]
pub struct BenchArgs<P: Suite> {
    /// What to measure; everything unless given.
    #[arg(value_name = "PART")]
    pub parts: Vec<P>,
    /// How much of it.
    #[command(flatten)]
    pub effort: EffortArgs,
    /// One line of JSON a row on standard output, as soon as it is known, instead of a table.
    #[arg(long, conflicts_with = "markdown")]
    pub json: bool,
    /// The table as markdown.
    #[arg(long)]
    pub markdown: bool,
    /// The `obit` binary; the one beside this program unless given.
    #[arg(long, value_name = "PATH")]
    pub monitor: Option<PathBuf>,
}

impl<P: Suite> BenchArgs<P> {
    /// The settings of the run.
    ///
    /// # Errors
    /// When this program's own path is unknown.
    pub fn settings(&self) -> anyhow::Result<BenchSettings<P>> {
        let wanted = P::ALL.iter().copied();
        let wanted = wanted.filter(|part| self.parts.is_empty() || self.parts.contains(part));
        Ok(BenchSettings {
            parts: wanted.collect(),
            pairs: self.effort.pairs(),
            effort: self.effort.effort(),
            monitor: monitor_program(self.monitor.clone())?,
        })
    }
}

/// What the latency scenario can be told.
#[derive(Debug, Clone, clap::Args)]
pub struct LatencyArgs {
    /// A client to measure; only `obit` hears of deaths.
    #[arg(long = "client", value_name = "NAME", value_parser = hears_of_deaths)]
    pub clients: Vec<ClientKind>,
    /// One line of JSON on standard output, instead of a table.
    #[arg(long)]
    pub json: bool,
    /// Deaths, a quarter of each kind.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u16).range(4..=16_000))]
    pub trials: u16,
    /// For the pauses between deaths; another one each time unless given.
    #[arg(long)]
    pub seed: Option<u64>,
    /// The `obit` binary; the one beside this program unless given.
    #[arg(long, value_name = "PATH")]
    pub monitor: Option<PathBuf>,
}

impl LatencyArgs {
    /// The settings of the run; `seed` is used unless one was given.
    ///
    /// # Errors
    /// When this program's own path is unknown.
    pub fn settings(&self, seed: u64) -> anyhow::Result<LatencySettings> {
        Ok(LatencySettings {
            trials: self.trials,
            seed: self.seed.unwrap_or(seed),
            monitor: monitor_program(self.monitor.clone())?,
        })
    }
}

/// Clients other than obit know no kernel events: measuring them would measure nothing.
fn hears_of_deaths(name: &str) -> Result<ClientKind, String> {
    match <ClientKind as clap::ValueEnum>::from_str(name, false) {
        Ok(kind) if kind.needs_monitor() => Ok(kind),
        _ => Err("the latency scenario measures only obit: no other client hears of the kernel's events".into()),
    }
}
