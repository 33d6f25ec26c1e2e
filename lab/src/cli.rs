//! The command line: the scenarios for people, and the roles of the lab's own processes.

mod bench;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as _, CommandFactory as _, FromArgMatches as _};

use crate::api::ApiArgs;
use crate::bench::RoleArgs;
use crate::child::monitor_program;
use crate::client::Client;
use crate::dns::DnsArgs;
use crate::latency::{DeathsArgs, PeerArgs};
use crate::matrix::MatrixArgs;
use crate::neighbour::NeighbourArgs;
use crate::pod::PodArgs;
use crate::run::Settings;
use crate::scenario::{self, Scenario, builtin, builtins};
use crate::workload::{ClientArgs, ClientKind};

pub use bench::{BenchArgs, BenchCommand, BenchesArgs, DiffArgs, EffortArgs, GatherArgs, LatencyArgs};

/// Pods in network namespaces, the article's workload, and what becomes of it when a pod dies. Needs root, iproute2 and
/// nft; changes nothing outside its own namespaces.
#[derive(Debug, clap::Parser)]
#[command(name = "obit-lab", version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What was asked for: a scenario, each of which is a command, or one of the other commands.
#[derive(Debug)]
pub enum Asked {
    /// A scenario that comes with the lab, and how it is run.
    Scenario(Scenario, LabArgs),
    /// Another command.
    Other(Command),
}

impl Asked {
    /// What `arguments` ask for; the first is the program's name.
    ///
    /// # Errors
    /// clap's: what is wrong with them, or the help that was asked for.
    pub fn parse(arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> Result<Self, clap::Error> {
        let scenarios = builtins().iter().map(|scenario| {
            let command = LabArgs::augment_args(clap::Command::new(scenario.name.as_str()));
            command.about(scenario.summary.as_str()).display_order(0)
        });
        let command = Cli::command().subcommands(scenarios);
        let matches = command.try_get_matches_from(arguments)?;
        if let Some((name, matches)) = matches.subcommand()
            && let Some(scenario) = builtin(name)
        {
            return Ok(Self::Scenario(scenario.clone(), LabArgs::from_arg_matches(matches)?));
        }
        Ok(Self::Other(Cli::from_arg_matches(&matches)?.command))
    }
}

/// What the lab can do beside its scenarios.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// A scenario of your own, read from a file like those in `lab/scenarios`.
    Run(RunArgs),
    /// Isolated deaths without load: how long from the kernel's event to the client.
    Latency(LatencyArgs),
    /// Kill and blackhole for every client, side by side, and what they show in one sentence.
    Demo(LabArgs),
    /// Every scenario with every client, several times, kept in a folder.
    Matrix(MatrixArgs),
    /// What obit costs and how fast it is, held against what is promised.
    Bench(BenchesArgs),
    /// What the folder of a matrix says, as a page with pictures, or as tables of markdown. Needs no root.
    Report(ReportArgs),
    /// A pod (one of the lab's own processes).
    #[command(hide = true)]
    Pod(PodArgs),
    /// The DNS server (one of the lab's own processes).
    #[command(hide = true)]
    Dns(DnsArgs),
    /// The Kubernetes API (one of the lab's own processes).
    #[command(hide = true)]
    Api(ApiArgs),
    /// Somebody else on the client's node (one of the lab's own processes).
    #[command(hide = true)]
    Neighbour(NeighbourArgs),
    /// The workload (one of the lab's own processes).
    #[command(hide = true)]
    Client(ClientArgs),
    /// A peer that dies on request (one of the lab's own processes).
    #[command(hide = true)]
    Peer(PeerArgs),
    /// The client of the latency scenario (one of the lab's own processes).
    #[command(hide = true)]
    Deaths(DeathsArgs),
    /// A role in a bench (one of the lab's own processes).
    #[command(hide = true)]
    Role(RoleArgs),
}

/// What is reported.
#[derive(Debug, Clone, clap::Args)]
pub struct ReportArgs {
    /// The folder of a matrix.
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    /// Where the page goes; `report.html` in the folder unless given.
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Tables of markdown on standard output, and no page.
    #[arg(long, conflicts_with = "html")]
    pub markdown: bool,
    /// One table of markdown on standard output, of the scenarios in which most clients were measured, and no page.
    #[arg(long, conflicts_with_all = ["html", "markdown"])]
    pub overview: bool,
}

/// A scenario that does not come with the lab.
#[derive(Debug, Clone, clap::Args)]
pub struct RunArgs {
    /// Its file.
    #[arg(value_name = "FILE", value_parser = |path: &str| scenario::load(path.as_ref()))]
    pub scenario: Scenario,
    /// How it is run.
    #[command(flatten)]
    pub args: LabArgs,
}

/// What is the same for every scenario.
#[derive(Debug, Clone, clap::Args)]
pub struct LabArgs {
    /// A client to measure; repeat it for several. Those that need no other toolchain unless given: obit, obit-least-request,
    /// obit-dns, obit-blind, tonic.
    #[arg(long = "client", value_name = "NAME", value_parser = Client::named)]
    pub clients: Vec<Client>,
    /// A client of your own, a command line that keeps the contract of docs/lab.md; repeat it for several.
    #[arg(long = "exec", value_name = "COMMAND")]
    pub commands: Vec<String>,
    /// Run obit's monitor for clients of your own as well.
    #[arg(long, requires = "commands")]
    pub with_monitor: bool,
    /// One line of JSON a client on standard output, instead of a table.
    #[arg(long)]
    pub json: bool,
    /// Callers.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pub concurrency: u64,
    /// Calls each caller makes; as many as the scenario takes its time for unless given, 200 in most.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub requests: Option<u64>,
    /// When a client whose calls hang is stopped, seconds after its start; as the scenario says unless given, 60 in most.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub seconds: Option<u64>,
    /// Chooses the victims; another one each time unless given.
    #[arg(long)]
    pub seed: Option<u64>,
    /// Do not mark calls as idempotent: then nobody may repeat a call that may have been processed.
    #[arg(long)]
    pub not_idempotent: bool,
    /// The `obit` binary; the one beside this program unless given.
    #[arg(long, value_name = "PATH")]
    pub monitor: Option<PathBuf>,
}

impl LabArgs {
    /// The clients to measure, each once, in the order given; somebody's own last.
    #[must_use]
    pub fn clients(&self) -> Vec<Client> {
        let everyone = self.clients.is_empty() && self.commands.is_empty();
        let built_in = ClientKind::ALL.into_iter().map(Client::from).filter(|_| everyone);
        let named = self.clients.iter().cloned();
        let own = self
            .commands
            .iter()
            .map(|command| Client::of_command(command, self.with_monitor));
        let mut clients: Vec<Client> = Vec::new();
        for client in built_in.chain(named).chain(own) {
            if !clients.contains(&client) {
                clients.push(client);
            }
        }
        clients
    }

    /// The settings of runs of `scenarios`; `seed` is used unless one was given.
    ///
    /// # Errors
    /// When this program's own path is unknown.
    pub fn settings(&self, scenarios: &[&Scenario], seed: u64) -> anyhow::Result<Settings> {
        let requests = scenarios.iter().map(|scenario| scenario.requests).max();
        let seconds = scenarios.iter().map(|scenario| scenario.seconds).max();
        Ok(Settings {
            concurrency: self.concurrency,
            requests: self.requests.or(requests).unwrap_or_default(),
            seed: self.seed.unwrap_or(seed),
            idempotent: !self.not_idempotent,
            bound: Duration::from_secs(self.seconds.or(seconds).unwrap_or_default()),
            monitor: monitor_program(self.monitor.clone())?,
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::bench::{Effort, lab};

    use super::*;

    fn parsed(arguments: &[&str]) -> Result<Asked, String> {
        Asked::parse([&["obit-lab"], arguments].concat()).map_err(|error| error.to_string())
    }

    #[test]
    fn five_hundred_callers_with_two_hundred_calls_each_are_the_default() {
        let Ok(Asked::Scenario(kill, args)) = parsed(&["kill"]) else {
            panic!("kill is a command")
        };
        assert_eq!(kill.name, "kill");
        assert_eq!(
            (args.concurrency, args.requests, args.clients()),
            (500, None, ClientKind::ALL.map(Client::from).to_vec())
        );
        let settings = args.settings(&[&kill], 7).unwrap();
        assert_eq!((settings.requests, settings.seed, settings.idempotent), (200, 7, true));
        assert_eq!(settings.bound, Duration::from_secs(60));
    }

    #[test]
    fn clients_are_measured_once_in_the_order_given() {
        let Ok(Asked::Scenario(_, args)) =
            parsed(&["steady", "--client", "tonic", "--client", "obit", "--client", "tonic"])
        else {
            panic!("steady is a command")
        };
        assert_eq!(args.clients(), [ClientKind::Tonic, ClientKind::Obit].map(Client::from));
        let Ok(Asked::Scenario(_, args)) = parsed(&["steady", "--exec", "./mine --fast"]) else {
            panic!("steady is a command")
        };
        assert_eq!(args.clients(), [Client::of_command("./mine --fast", false)]);
    }

    #[test]
    fn a_wrong_client_is_named_with_the_right_ones() {
        let error = parsed(&["kill", "--client", "grpc"]).unwrap_err();
        assert!(
            error.contains("'grpc'") && error.contains("obit, obit-least-request, obit-dns, obit-blind, tonic"),
            "{error}"
        );
    }

    #[test]
    fn wrong_numbers_and_flags_are_named() {
        assert!(
            parsed(&["kill", "--requests", "0"])
                .unwrap_err()
                .contains("0 is not in 1..=100000")
        );
        assert!(parsed(&["kill", "--fast"]).unwrap_err().contains("'--fast'"));
        assert!(parsed(&["explode"]).unwrap_err().contains("'explode'"));
    }

    #[test]
    fn latency_is_measured_of_obit_alone() {
        let error = parsed(&["latency", "--client", "tonic"]).unwrap_err();
        assert!(error.contains("'tonic'") && error.contains("only obit"), "{error}");
        let Ok(Asked::Other(Command::Latency(args))) = parsed(&["latency", "--client", "obit"]) else {
            panic!("latency is a command")
        };
        assert_eq!(args.trials, 1_000);
    }

    fn benches(arguments: &[&str]) -> Result<BenchesArgs, String> {
        match parsed(&[&["bench"], arguments].concat())? {
            Asked::Other(Command::Bench(args)) => Ok(args),
            other => Err(format!("{other:?}")),
        }
    }

    #[test]
    fn bench_is_all_of_them_unless_one_is_named() {
        let all = benches(&["--quick", "--part", "lab", "--part", "monitor/stall"]).unwrap();
        assert!(all.what.is_none());
        assert_eq!((all.all.effort.effort(), all.all.parts.len()), (Effort::Quick, 2));
        let one = benches(&["lab", "kill", "--trial", "--pairs", "2"]).unwrap();
        let Some(BenchCommand::Lab(one)) = one.what else {
            panic!("lab is a bench")
        };
        let settings = one.settings().unwrap();
        assert_eq!(settings.parts, [lab::Part::Kill]);
        assert_eq!((settings.effort, settings.pairs), (Effort::Trial, Some(2)));
    }

    #[test]
    fn a_part_that_is_none_and_efforts_that_exclude_each_other_are_named() {
        let error = benches(&["--part", "lab/stall"]).unwrap_err();
        assert!(
            error.contains("'lab/stall'") && error.contains("monitor/stall"),
            "{error}"
        );
        assert!(benches(&["--quick", "--trial"]).unwrap_err().contains("--trial"));
        assert!(benches(&["diff", "a.json"]).unwrap_err().contains("<B>"));
    }

    #[test]
    fn a_scenario_s_file_is_read_and_its_faults_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("mine.toml");
        let path = file.to_str().unwrap();
        std::fs::write(&file, "summary = \"x\"\n").unwrap();
        let Ok(Asked::Other(Command::Run(mine))) = parsed(&["run", path, "--seed", "3"]) else {
            panic!("run is a command")
        };
        assert_eq!((mine.scenario.name.as_str(), mine.args.seed), ("mine", Some(3)));
        std::fs::write(&file, "summary = \"x\"\nfast = true\n").unwrap();
        let error = parsed(&["run", path]).unwrap_err();
        assert!(error.contains("mine.toml") && error.contains("`fast`"), "{error}");
    }
}
