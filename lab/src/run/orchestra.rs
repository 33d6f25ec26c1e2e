//! Puts a run together and takes it apart again: topology, pods, DNS, monitor, client, script, verification.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use tempfile::TempDir;

use super::script::{Record, Victim, perform};
use super::{Evidence, MonitorProcess, Run, Settings, verify};
use crate::child::LabProcess;
use crate::net::{Host, LabId, Topology};
use crate::pod::{PORT, Tally, received};
use crate::report::{Figures, Quantiles};
use crate::scenario::Scenario;
use crate::workload::{self, Call, ClientKind, Outcome};

/// How long after its bound a client may take to write its trace.
const GRACE: Duration = Duration::from_secs(20);

/// The DNS server's port.
const DNS_PORT: u16 = 53;

/// Everything of a run that has to go again. In the order it goes: processes before their namespaces.
struct Stage {
    client: LabProcess,
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
pub async fn run(scenario: &Scenario, client: ClientKind, settings: &Settings) -> anyhow::Result<Run> {
    let mut stage = Stage::set(client, settings).await?;
    let number = fastrand::Rng::with_seed(settings.seed).usize(..settings.pods);
    stage.client.tell("go").await?;
    let started = stage.client.line().await?;
    let start_ns = started.strip_prefix("started ").and_then(|ns| ns.parse().ok());
    let start_ns = start_ns.with_context(|| format!("the client said {started:?}"))?;
    let record = stage.play(scenario, number, start_ns, settings).await?;
    stage.report(scenario, client, number, record, settings)
}

/// Where a pod's journal lies.
fn journal(directory: &Path, pod: &Host) -> PathBuf {
    directory.join(&pod.role)
}

impl Stage {
    async fn set(client: ClientKind, settings: &Settings) -> anyhow::Result<Self> {
        let topology = Topology::build(LabId::of_this_process(), settings.pods)?;
        // On tmpfs: the pods write their journals twice a call.
        let directory = tempfile::Builder::new()
            .prefix("obit-lab-")
            .tempdir_in("/dev/shm")
            .context("/dev/shm")?;
        let asked = (settings.concurrency * settings.requests).to_string();
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
                &asked,
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
        let arguments = client_arguments(client, settings, &topology, monitor.as_ref(), directory.path());
        let mut client = LabProcess::start(&topology.client, "client", &arguments)?;
        client.expect("ready").await?;
        Ok(Self {
            client,
            monitor,
            dns,
            pods,
            topology,
            directory,
        })
    }

    /// Lets the scenario happen until the client is done.
    async fn play(
        &mut self,
        scenario: &Scenario,
        number: usize,
        start_ns: u64,
        settings: &Settings,
    ) -> anyhow::Result<Record> {
        let host = &self.topology.pods[number];
        let victim = Victim {
            host,
            process: &mut self.pods[number],
        };
        let mut record = Record::default();
        let status = tokio::select! {
            status = self.client.ended() => status?,
            failed = perform(scenario, victim, &mut self.dns, start_ns, &mut record) => match failed? {},
            () = tokio::time::sleep(settings.bound + GRACE) => {
                bail!("the client did not stop at its bound of {:?}", settings.bound)
            }
        };
        if !status.success() {
            bail!("the client failed ({status}); what it said is above");
        }
        Ok(record)
    }

    /// Reads what everyone left, checks it, and derives the figures.
    fn report(
        mut self,
        scenario: &Scenario,
        client: ClientKind,
        number: usize,
        record: Record,
        settings: &Settings,
    ) -> anyhow::Result<Run> {
        let died = self.died(number, &record)?;
        let (result, calls) = self.left_by_client()?;
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
            start_ns: result.start_ns,
            calls: &calls,
            classes: &result.classes,
            stopped: result.stopped,
            performed: &record.performed,
            victim: u8::try_from(number).ok(),
            killed_by: record.killed_by,
            died: &died,
        })?;
        let names: Vec<_> = self.topology.pods.iter().map(|host| host.role.clone()).collect();
        let victim = SocketAddr::from((self.topology.pods[number].address, PORT));
        let evicted_ns = death.and_then(|death| result.observations.evicted_ns(victim, death.from_ns));
        Ok(Run {
            scenario: scenario.name.clone(),
            client,
            asked,
            figures: Figures::of(&calls, result.start_ns, &names, &result.classes),
            victim: death.map(|_| names[number].clone()),
            in_flight_on_victim: in_flight,
            death_ns: death.map(|death| death.from_ns.saturating_sub(result.start_ns)),
            evicted_after_ns: death
                .zip(evicted_ns)
                .map(|(death, evicted)| evicted.saturating_sub(death.from_ns)),
            event_to_client: Quantiles::of(result.observations.lateness_ns(result.start_ns)),
            tally: Tally::of(&journals),
            stopped: result.stopped,
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

    fn left_by_client(&self) -> anyhow::Result<(workload::Result, Vec<Call>)> {
        let result = std::fs::read(self.directory.path().join("result.json")).context("the client's result")?;
        let result = serde_json::from_slice(&result).context("the client's result")?;
        let trace = std::fs::File::open(self.directory.path().join("trace")).context("the client's trace")?;
        Ok((result, workload::read(trace).context("the client's trace")?))
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

fn client_arguments(
    client: ClientKind,
    settings: &Settings,
    topology: &Topology,
    monitor: Option<&MonitorProcess>,
    output: &Path,
) -> Vec<String> {
    let mut arguments = vec![client.name().to_owned()];
    let mut option = |name: &str, value: String| arguments.extend([name.to_owned(), value]);
    for pod in &topology.pods {
        option("--pod", SocketAddr::from((pod.address, PORT)).to_string());
    }
    option("--dns", SocketAddr::from((topology.dns.address, DNS_PORT)).to_string());
    option("--concurrency", settings.concurrency.to_string());
    option("--requests", settings.requests.to_string());
    option("--bound-seconds", settings.bound.as_secs().to_string());
    option("--output", output.display().to_string());
    if let Some(monitor) = monitor {
        option("--socket", monitor.socket().display().to_string());
    }
    if !settings.idempotent {
        arguments.push("--not-idempotent".to_owned());
    }
    arguments
}
