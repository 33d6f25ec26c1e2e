//! What a matrix can be told.

use std::path::PathBuf;
use std::time::Duration;

use crate::child::monitor_program;
use crate::client::Client;
use crate::record::{ClientFlag, Flags, ScenarioFlag};
use crate::run::Settings;
use crate::scenario::{self, PODS, Scenario, With, builtin, builtins};
use crate::workload::ClientKind;

/// As many callers as the article's.
const FULL: Load = Load {
    trials: 5,
    concurrency: 500,
    seconds: None,
};

/// A load that shows in a few minutes that everything works.
const QUICK: Load = Load {
    trials: 1,
    concurrency: 50,
    seconds: Some(12),
};

struct Load {
    trials: u32,
    concurrency: u64,
    /// As each scenario says unless given.
    seconds: Option<u64>,
}

/// How a matrix is run.
#[derive(Debug, Clone, clap::Args)]
pub struct MatrixArgs {
    /// The folder for the results; one named after the date unless given. A matrix that was cut off goes on with its folder.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// How often each run is made: 5 times, or once with --quick, unless given.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    pub trials: Option<u32>,
    /// A load that shows in a few minutes that everything works; its figures say little, and the report says so.
    #[arg(long)]
    pub quick: bool,
    /// A scenario, by name or as a TOML file; repeat it for several. Every one that comes with the lab unless given.
    #[arg(long = "scenario", value_name = "NAME", value_parser = named)]
    pub scenarios: Vec<Scenario>,
    /// A client to measure in every scenario; repeat it for several. Unless given, obit in every scenario, and in each those that its file
    /// names; with --quick only those that need no other toolchain.
    #[arg(long = "client", value_name = "NAME", value_parser = Client::named)]
    pub clients: Vec<Client>,
    /// Every client in every scenario, which takes hours.
    #[arg(long)]
    pub all: bool,
    /// A client of your own, a command line that keeps the contract of docs/lab.md; repeat it for several.
    #[arg(long = "exec", value_name = "COMMAND")]
    pub commands: Vec<String>,
    /// Run obit's monitor for clients of your own as well.
    #[arg(long, requires = "commands")]
    pub with_monitor: bool,
    /// Callers; 500, or 50 with --quick, unless given.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pub concurrency: Option<u64>,
    /// Calls each caller makes; as many as each scenario takes its time for unless given.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub requests: Option<u64>,
    /// When a client whose calls hang is stopped, seconds after its start; as each scenario says, or 12 with --quick, unless given.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub seconds: Option<u64>,
    /// Chooses the victims; that of the folder, or another one each time, unless given.
    #[arg(long)]
    pub seed: Option<u64>,
    /// Do not mark calls as idempotent: then nobody may repeat a call that may have been processed.
    #[arg(long)]
    pub not_idempotent: bool,
    /// The `obit` binary; the one beside this program unless given.
    #[arg(long, value_name = "PATH")]
    pub monitor: Option<PathBuf>,
}

/// The scenario of that name, or in that file.
fn named(name: &str) -> Result<Scenario, String> {
    if let Some(scenario) = builtin(name) {
        return Ok(scenario.clone());
    }
    if name.ends_with(".toml") {
        return scenario::load(name.as_ref()).map_err(|error| error.to_string());
    }
    let names: Vec<_> = builtins().iter().map(|scenario| scenario.name.as_str()).collect();
    Err(format!(
        "the scenarios are {}; any other is a file, NAME.toml",
        names.join(", ")
    ))
}

/// Whether two are one client: peers share a program and are told who they are by their name.
fn same(one: &Client, two: &Client) -> bool {
    one.program() == two.program() && (one.command().is_some() || one.name() == two.name())
}

impl MatrixArgs {
    /// The scenarios, each once, in the order given.
    #[must_use]
    pub fn scenarios(&self) -> Vec<Scenario> {
        let wanted = if self.scenarios.is_empty() {
            builtins()
        } else {
            &self.scenarios
        };
        let mut scenarios: Vec<Scenario> = Vec::new();
        for scenario in wanted {
            if !scenarios.iter().any(|known| known.name == scenario.name) {
                scenarios.push(scenario.clone());
            }
        }
        scenarios
    }

    /// The clients, each once, in the order given, somebody's own last. No two have the same name: results are kept by it.
    #[must_use]
    pub fn clients(&self) -> Vec<Client> {
        let everyone = self.clients.is_empty() && self.commands.is_empty();
        let named = match (everyone, self.quick) {
            (true, true) => ClientKind::ALL.into_iter().map(Client::from).collect(),
            (true, false) => Client::all(),
            (false, _) => self.clients.clone(),
        };
        let commands = self.commands.iter();
        let own = commands.map(|command| Client::of_command(command, self.with_monitor));
        let mut clients: Vec<Client> = Vec::new();
        for client in named.into_iter().chain(own) {
            if clients.iter().any(|known| same(known, &client)) {
                continue;
            }
            let taken = |name: &str| clients.iter().any(|known| known.name() == name);
            let numbered = |number| match number {
                1 => client.name().to_owned(),
                number => format!("{}-{number}", client.name()),
            };
            let name = (1..).map(numbered).find(|name| !taken(name));
            clients.push(client.clone().called(name.unwrap_or_default()));
        }
        clients
    }

    /// The names of those `clients` that are measured in `scenario`: who was named in every one; else obit in every one, and others where
    /// the scenario says so.
    fn clients_in(&self, scenario: &Scenario, clients: &[Client]) -> Vec<String> {
        let named = self.all || !self.clients.is_empty() || !self.commands.is_empty() || !self.scenarios.is_empty();
        let wanted = |name: &str| match &scenario.with {
            With::Everyone => true,
            With::These(names) => name == ClientKind::Obit.name() || names.iter().any(|it| it == name),
        };
        let names = clients.iter().map(Client::name);
        names.filter(|name| named || wanted(name)).map(str::to_owned).collect()
    }

    fn load(&self) -> Load {
        let usual = if self.quick { QUICK } else { FULL };
        Load {
            trials: self.trials.unwrap_or(usual.trials),
            concurrency: self.concurrency.unwrap_or(usual.concurrency),
            seconds: self.seconds.or(usual.seconds),
        }
    }

    /// What is kept in the folder of what was asked for.
    #[must_use]
    pub fn flags(&self, seed: u64) -> Flags {
        let load = self.load();
        let clients = self.clients();
        let scenarios = self.scenarios().into_iter().map(|scenario| ScenarioFlag {
            clients: self.clients_in(&scenario, &clients),
            steady: scenario.steady().to_owned(),
            name: scenario.name,
            summary: scenario.summary,
        });
        let clients = clients.iter().map(|client| ClientFlag {
            name: client.name().to_owned(),
            command: client.command().map(str::to_owned),
            monitor: client.needs_monitor(),
        });
        Flags {
            quick: self.quick,
            trials: load.trials,
            seed,
            scenarios: scenarios.collect(),
            clients: clients.collect(),
            pods: PODS,
            concurrency: load.concurrency,
            requests: self.requests,
            seconds: load.seconds,
            idempotent: !self.not_idempotent,
        }
    }

    /// The settings of the runs of `scenario`, but for the seed, which each trial has its own of.
    ///
    /// # Errors
    /// When this program's own path is unknown.
    pub fn settings(&self, scenario: &Scenario, seed: u64) -> anyhow::Result<Settings> {
        let load = self.load();
        Ok(Settings {
            concurrency: load.concurrency,
            requests: self.requests.unwrap_or(scenario.requests),
            seed,
            idempotent: !self.not_idempotent,
            bound: Duration::from_secs(load.seconds.unwrap_or(scenario.seconds)),
            monitor: monitor_program(self.monitor.clone())?,
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: MatrixArgs,
    }

    fn parsed(arguments: &[&str]) -> Result<MatrixArgs, String> {
        let line = Line::try_parse_from([&["matrix"], arguments].concat());
        line.map(|line| line.args).map_err(|error| error.to_string())
    }

    #[test]
    fn everything_is_measured_with_the_article_s_callers_unless_said_otherwise() {
        let args = parsed(&[]).unwrap();
        let flags = args.flags(3);
        assert_eq!(
            (flags.trials, flags.concurrency, flags.requests, flags.seconds),
            (5, 500, None, None)
        );
        assert_eq!(flags.scenarios.len(), builtins().len());
        assert_eq!(flags.clients.len(), Client::all().len());
        assert_eq!((flags.seed, flags.quick, flags.idempotent), (3, false, true));
        let quick = parsed(&["--quick", "--trials", "2"]).unwrap().flags(3);
        assert_eq!((quick.trials, quick.concurrency, quick.quick), (2, 50, true));
        assert_eq!(quick.clients.len(), ClientKind::ALL.len());
    }

    #[test]
    fn obit_is_measured_in_every_scenario_and_others_where_it_says_so_or_they_are_named() {
        let of = |arguments: &[&str], scenario: &str| {
            let flags = parsed(arguments).unwrap().flags(3);
            let found = flags.scenarios.into_iter().find(|it| it.name == scenario);
            found.unwrap().clients
        };
        assert_eq!(of(&[], "kill").len(), Client::all().len());
        assert_eq!(of(&[], "partition"), ["obit"]);
        assert!(of(&[], "slow").contains(&"grpc-go-least-request".to_owned()));
        assert_eq!(of(&["--all"], "partition").len(), Client::all().len());
        assert_eq!(of(&["--client", "tonic"], "partition"), ["tonic"]);
        assert_eq!(of(&["--scenario", "partition"], "partition").len(), Client::all().len());
    }

    #[test]
    fn no_two_clients_have_the_same_name() {
        let args = parsed(&[
            "--client", "tonic", "--client", "tonic", "--exec", "sh -c 1", "--exec", "sh -c 2", "--exec", "sh -c 1",
            "--exec", "./tonic",
        ]);
        let clients = args.unwrap().clients();
        let names: Vec<_> = clients.iter().map(Client::name).collect();
        assert_eq!(names, ["tonic", "sh", "sh-2", "tonic-2"]);
        assert_eq!(clients[2].command(), Some("sh -c 2"));
    }

    #[test]
    fn a_scenario_is_a_name_or_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("mine.toml");
        std::fs::write(&file, "summary = \"x\"\n").unwrap();
        let args = parsed(&[
            "--scenario",
            "kill",
            "--scenario",
            file.to_str().unwrap(),
            "--scenario",
            "kill",
        ])
        .unwrap();
        let scenarios = args.scenarios();
        let names: Vec<_> = scenarios.iter().map(|scenario| scenario.name.as_str()).collect();
        assert_eq!(names, ["kill", "mine"]);
        let error = parsed(&["--scenario", "explode"]).unwrap_err();
        assert!(error.contains("steady, kill"), "{error}");
    }
}
