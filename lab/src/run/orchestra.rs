//! Puts a run together and takes it apart again: topology, pods, DNS, monitor, client, script, verification.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use tempfile::TempDir;

use super::script::{Record, Victim, perform};
use super::{ClientFault, Evidence, MonitorProcess, Run, Settings, verify};
use crate::child::{LabProcess, beside_this_binary};
use crate::client::{Client, Program};
use crate::contract::{Environment, Reading, Said};
use crate::dns;
use crate::net::{Host, LabId, Topology};
use crate::pod::{PORT, Tally, received};
use crate::report::{Figures, Quantiles};
use crate::scenario::Scenario;
use crate::workload::{Call, Outcome};

/// How long after its bound a client may take to tell of its calls.
const GRACE: Duration = Duration::from_secs(20);

/// How long a client may take to open its connections.
const READY: Duration = Duration::from_secs(30);

/// How long a client may take to start when it is told to.
const START: Duration = Duration::from_secs(5);

/// The DNS server's port.
const DNS_PORT: u16 = 53;

/// Everything of a run that has to go again. In the order it goes: processes before their namespaces.
struct Stage {
    client: LabProcess,
    said: Reading,
    monitor: Option<MonitorProcess>,
    dns: LabProcess,
    pods: Vec<LabProcess>,
    topology: Topology,
    directory: TempDir,
}

/// Runs `scenario` with `client`.
///
/// # Errors
/// When the lab cannot be built, or the run is not what it claims (a [`super::Refusal`]).
///
/// # Cancel safety
/// Dropping the future kills its processes and deletes its namespaces.
pub async fn run(scenario: &Scenario, client: &Client, settings: &Settings) -> anyhow::Result<Run> {
    let mut stage = Stage::set(client, settings).await?;
    let number = fastrand::Rng::with_seed(settings.seed).usize(..settings.pods);
    let record = stage.play(scenario, number, settings).await?;
    stage.report(scenario, client, number, record, settings)
}

/// Hears the client until it has come as far as `far` says.
async fn hear(client: &mut LabProcess, said: &mut Reading, far: fn(&Reading) -> bool) -> anyhow::Result<()> {
    while !far(said) {
        let line = client.next_line().await;
        match line.map_err(|error| ClientFault::Unreadable(error.to_string()))? {
            Some(line) => said.line(&line).map_err(ClientFault::from)?,
            None => return Err(ClientFault::Ended(client.ended().await?).into()),
        }
    }
    Ok(())
}

/// Where a pod's journal lies.
fn journal(directory: &Path, pod: &Host) -> PathBuf {
    directory.join(&pod.role)
}

impl Stage {
    async fn set(client: &Client, settings: &Settings) -> anyhow::Result<Self> {
        let topology = Topology::build(LabId::of_this_process(), settings.pods)?;
        // On tmpfs: the pods write their journals twice a call.
        let directory = tempfile::Builder::new()
            .prefix("obit-lab-")
            .tempdir_in("/dev/shm")
            .context("/dev/shm")?;
        let asked = settings.concurrency * settings.requests;
        let mut pods = Vec::new();
        for host in &topology.pods {
            let listen = SocketAddr::from((host.address, PORT)).to_string();
            let path = journal(directory.path(), host).display().to_string();
            let arguments = [
                "--name",
                &host.role,
                "--listen",
                &listen,
                "--journal",
                &path,
                "--calls",
                &asked.to_string(),
            ];
            pods.push(LabProcess::start(host, "pod", &arguments.map(str::to_owned))?);
        }
        let addresses: Vec<_> = topology.pods.iter().map(|host| host.address.to_string()).collect();
        let resolver = SocketAddr::from((topology.dns.address, DNS_PORT)).to_string();
        let mut dns = LabProcess::start(&topology.dns, "dns", &options(&resolver, &addresses))?;
        for process in pods.iter_mut().chain([&mut dns]) {
            process.expect("ready").await?;
        }
        let monitor = match client.needs_monitor() {
            true => Some(MonitorProcess::start(&settings.monitor, &topology.client, directory.path()).await?),
            false => None,
        };
        let variables = environment(settings, &topology, monitor.as_ref()).variables();
        let mut client = match client.program() {
            Program::BuiltIn(kind) => {
                LabProcess::start_told(&topology.client, "client", &[kind.name().to_owned()], variables)?
            }
            Program::Peer(program) => {
                let path = beside_this_binary(program)?;
                if !path.exists() {
                    return Err(ClientFault::Absent { program }.into());
                }
                let line = [path.as_os_str(), client.name().as_ref()];
                LabProcess::start_foreign(&topology.client, &line, variables)?
            }
            Program::Command { line, .. } => {
                let script = format!("exec {line}");
                let line = ["sh", "-c", &script].map(AsRef::as_ref);
                LabProcess::start_foreign(&topology.client, &line, variables)?
            }
        };
        let names = topology.pods.iter().map(|host| host.role.clone());
        let mut said = Reading::new(asked, names.collect());
        let ready = hear(&mut client, &mut said, Reading::is_ready);
        let limit = settings.bound.min(READY);
        let ready = tokio::time::timeout(limit, ready).await;
        ready.unwrap_or_else(|_| Err(ClientFault::NotReady(limit).into()))?;
        Ok(Self {
            client,
            said,
            monitor,
            dns,
            pods,
            topology,
            directory,
        })
    }

    /// Lets the scenario happen until the client is done.
    async fn play(&mut self, scenario: &Scenario, number: usize, settings: &Settings) -> anyhow::Result<Record> {
        if self.client.tell("go").await.is_err() {
            return Err(ClientFault::Ended(self.client.ended().await?).into());
        }
        let started = hear(&mut self.client, &mut self.said, |said| said.started_ns().is_some());
        let started = tokio::time::timeout(START, started).await;
        started.unwrap_or_else(|_| Err(ClientFault::NotStarted(START).into()))?;
        let start_ns = self.said.started_ns().unwrap_or_default();
        let host = &self.topology.pods[number];
        let victim = Victim {
            host,
            process: &mut self.pods[number],
        };
        let mut record = Record::default();
        let done = async {
            hear(&mut self.client, &mut self.said, Reading::is_over).await?;
            match self.client.ended().await? {
                status if status.success() => Ok(()),
                status => Err(ClientFault::Failed(status).into()),
            }
        };
        let limit = settings.bound + settings.bound.min(GRACE);
        tokio::select! {
            done = done => done.map(|()| record),
            failed = perform(scenario, victim, &mut self.dns, start_ns, &mut record) => match failed? {},
            () = tokio::time::sleep(limit) => Err(ClientFault::Overdue(limit).into()),
        }
    }

    /// Reads what everyone left, checks it, and derives the figures.
    fn report(
        mut self,
        scenario: &Scenario,
        client: &Client,
        number: usize,
        record: Record,
        settings: &Settings,
    ) -> anyhow::Result<Run> {
        let died = self.died(number, &record)?;
        let Said {
            start_ns,
            calls,
            classes,
            observations,
            stopped,
        } = self.said.into_said();
        let death = record.performed.first().copied();
        let journals = self
            .topology
            .pods
            .iter()
            .map(|host| std::fs::read(journal(self.directory.path(), host)));
        let journals = journals.collect::<Result<Vec<_>, _>>().context("the pods' journals")?;
        let victims = |call: &&Call| call.outcome == Outcome::Answered(u8::try_from(number).unwrap_or(u8::MAX));
        let answered = calls.iter().filter(victims).count() as u64;
        // A victim is silent from its death on: what it received and never answered was in flight at that moment.
        let in_flight = death.map(|_| received(&journals[number]).saturating_sub(answered));
        let asked = settings.concurrency * settings.requests;
        verify(&Evidence {
            scenario,
            asked,
            start_ns,
            calls: &calls,
            classes: &classes,
            stopped,
            performed: &record.performed,
            victim: u8::try_from(number).ok(),
            killed_by: record.killed_by,
            died: &died,
        })?;
        let names: Vec<_> = self.topology.pods.iter().map(|host| host.role.clone()).collect();
        let victim = SocketAddr::from((self.topology.pods[number].address, PORT));
        let evicted_ns = death.and_then(|death| observations.evicted_ns(victim, death.from_ns));
        Ok(Run {
            scenario: scenario.name.clone(),
            client: client.name().to_owned(),
            asked,
            figures: Figures::of(&calls, start_ns, &names, &classes),
            victim: death.map(|_| names[number].clone()),
            in_flight_on_victim: in_flight,
            death_ns: death.map(|death| death.from_ns.saturating_sub(start_ns)),
            evicted_after_ns: death
                .zip(evicted_ns)
                .map(|(death, evicted)| evicted.saturating_sub(death.from_ns)),
            event_to_client: Quantiles::of(observations.lateness_ns(start_ns)),
            tally: Tally::of(&journals),
            stopped,
        })
    }

    /// The processes that ended without having been killed by the script.
    fn died(&mut self, victim: usize, record: &Record) -> anyhow::Result<Vec<String>> {
        let mut died = Vec::new();
        for (number, pod) in self.pods.iter_mut().enumerate() {
            let killed = number == victim && record.killed_by.is_some();
            if !killed && let Some(status) = pod.exit()? {
                died.push(format!("{} ({status})", pod.name()));
            }
        }
        if let Some(status) = self.dns.exit()? {
            died.push(format!("the DNS server ({status})"));
        }
        if let Some(monitor) = &mut self.monitor
            && let Some(status) = monitor.exit()?
        {
            died.push(format!("the monitor ({status}; it said: {})", monitor.said()));
        }
        Ok(died)
    }
}

/// `--listen` and one `--pod` for each address.
fn options(listen: &str, pods: &[String]) -> Vec<String> {
    let mut options = vec!["--listen".to_owned(), listen.to_owned()];
    for pod in pods {
        options.extend(["--pod".to_owned(), pod.clone()]);
    }
    options
}

/// What the client is told.
fn environment(settings: &Settings, topology: &Topology, monitor: Option<&MonitorProcess>) -> Environment {
    let pods = topology.pods.iter().map(|pod| SocketAddr::from((pod.address, PORT)));
    Environment {
        target: format!("{}:{PORT}", dns::NAME.trim_end_matches('.')),
        name_server: SocketAddr::from((topology.dns.address, DNS_PORT)),
        pods: pods.collect(),
        concurrency: settings.concurrency,
        requests: settings.requests,
        seconds: settings.bound.as_secs(),
        idempotent: settings.idempotent,
        monitor: monitor.map(|monitor| monitor.socket().to_owned()),
    }
}
