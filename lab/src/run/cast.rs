//! Everything of a run but its client, and what may befall it. A pod is known by its number, wherever it runs.

use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use tempfile::TempDir;

use super::{MonitorProcess, Settings};
use crate::api;
use crate::child::LabProcess;
use crate::dns;
use crate::net::{
    LabId, Prepared, Ruleset, Topology, drop_dials_of, host_unreachable, lose_at_port, silence, silence_port,
    undisturbed, undisturbed_ports,
};
use crate::pod::{self, PORT};
use crate::scenario::{Action, Calls, Event, PODS, Scenario, Target};

/// The DNS server's port.
const DNS_PORT: u16 = 53;

/// The Kubernetes API's port.
const API_PORT: u16 = 8001;

/// The processes and namespaces. In the order they go: processes before their namespaces.
pub(super) struct Cast {
    /// By number; those that were killed, or have not begun, are not there.
    pods: Vec<Option<LabProcess>>,
    neighbour: Option<LabProcess>,
    dns: LabProcess,
    api: LabProcess,
    monitor: Option<MonitorProcess>,
    /// In which host each pod is.
    places: Vec<usize>,
    /// Pods that were told to end.
    leaving: Vec<usize>,
    node: Node,
    pub(super) topology: Topology,
    directory: TempDir,
    calls: u64,
    kind: Calls,
}

/// The monitor's node.
struct Node {
    binary: PathBuf,
    /// Whether it has more than the client on it.
    shared: bool,
}

impl Cast {
    /// Sets the stage for `scenario`: everyone that is there from the start is ready.
    pub(super) async fn set(
        scenario: &Scenario,
        victim: usize,
        monitor: bool,
        settings: &Settings,
    ) -> anyhow::Result<Self> {
        let topology = Topology::build(LabId::of_this_process(), PODS + scenario.spares)?;
        // On tmpfs: the pods write their journals twice a call.
        let directory = tempfile::Builder::new()
            .prefix("obit-lab-")
            .tempdir_in("/dev/shm")
            .context("/dev/shm")?;
        let named: Vec<_> = topology.pods[..PODS].iter().map(|pod| pod.address).collect();
        let host = &topology.dns;
        let dns = LabProcess::start(
            host,
            "dns",
            &options(SocketAddr::from((host.address, DNS_PORT)), &named),
        )?;
        let api = LabProcess::start(
            host,
            "api",
            &options(SocketAddr::from((host.address, API_PORT)), &named),
        )?;
        let mut cast = Self {
            pods: topology.pods.iter().map(|_| None).collect(),
            neighbour: None,
            dns,
            api,
            monitor: None,
            places: (0..topology.pods.len()).collect(),
            leaving: Vec::new(),
            node: Node {
                binary: settings.monitor.clone(),
                shared: scenario.neighbour,
            },
            topology,
            directory,
            calls: settings.concurrency * settings.requests,
            kind: scenario.calls,
        };
        for number in 0..PODS {
            cast.begin(number)?;
        }
        for process in cast.pods.iter_mut().flatten().chain([&mut cast.dns, &mut cast.api]) {
            process.expect("ready").await?;
        }
        if monitor {
            cast.monitor = Some(cast.watch().await?);
        }
        if scenario.neighbour {
            let dial = ["--dial".to_owned(), cast.address(victim).to_string()];
            let mut neighbour = LabProcess::start(&cast.topology.neighbour, "neighbour", &dial)?;
            neighbour.expect("ready").await?;
            cast.neighbour = Some(neighbour);
        }
        Ok(cast)
    }

    /// Where clients find the DNS server.
    pub(super) fn name_server(&self) -> SocketAddr {
        SocketAddr::from((self.topology.dns.address, DNS_PORT))
    }

    /// Where clients find the Kubernetes API.
    pub(super) fn kubernetes(&self) -> String {
        format!("http://{}:{API_PORT}", self.topology.dns.address)
    }

    /// The monitor's socket, where one runs.
    pub(super) fn socket(&self) -> Option<PathBuf> {
        self.monitor.as_ref().map(|monitor| monitor.socket().to_owned())
    }

    /// Where the run's files lie.
    pub(super) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// What all pods are called, by number.
    pub(super) fn names(&self) -> Vec<String> {
        self.topology.pods.iter().map(|pod| pod.role.clone()).collect()
    }

    /// Where a pod serves.
    pub(super) fn address(&self, number: usize) -> SocketAddr {
        SocketAddr::from((self.ip(number), PORT))
    }

    fn ip(&self, number: usize) -> Ipv4Addr {
        self.topology.pods[self.places[number]].address
    }

    fn namespace(&self, number: usize) -> &str {
        &self.topology.pods[self.places[number]].namespace
    }

    /// Where each pod's journal lies, by number, if it ever began.
    pub(super) fn journal_paths(&self) -> Vec<PathBuf> {
        let pods = self.topology.pods.iter();
        pods.map(|pod| journal(self.directory.path(), &pod.role)).collect()
    }

    /// What each pod noted of the calls, by number; nothing of those that never began.
    pub(super) fn journals(&self) -> anyhow::Result<Vec<Vec<u8>>> {
        let journals = self.journal_paths().into_iter().map(|path| match path.exists() {
            true => std::fs::read(path),
            false => Ok(Vec::new()),
        });
        journals.collect::<Result<_, _>>().context("the pods' journals")
    }

    async fn watch(&self) -> anyhow::Result<MonitorProcess> {
        let directory = self.directory();
        match self.node.shared {
            true => MonitorProcess::start_for_all(&self.node.binary, directory).await,
            false => MonitorProcess::start(&self.node.binary, &self.topology.client, directory).await,
        }
    }

    /// Starts a pod's process.
    fn begin(&mut self, number: usize) -> anyhow::Result<()> {
        let name = &self.topology.pods[number].role;
        let host = &self.topology.pods[self.places[number]];
        let journal = journal(self.directory.path(), name).display().to_string();
        let (listen, calls) = (self.address(number).to_string(), self.calls.to_string());
        let arguments = [
            "--name",
            name,
            "--listen",
            &listen,
            "--journal",
            &journal,
            "--calls",
            &calls,
            "--kind",
            self.kind.name(),
        ];
        self.pods[number] = Some(LabProcess::start(host, "pod", &arguments.map(str::to_owned))?);
        Ok(())
    }

    /// Starts a pod's process, and tells everybody once it listens.
    async fn join(&mut self, number: usize) -> anyhow::Result<()> {
        self.begin(number)?;
        self.process(number)?.expect("ready").await?;
        let ip = self.ip(number);
        self.api.order(&api::Order::Ready(ip)).await?;
        self.dns.order(&dns::Order::Name(ip)).await
    }

    fn process(&mut self, number: usize) -> anyhow::Result<&mut LabProcess> {
        let process = self.pods.get_mut(number).and_then(Option::as_mut);
        process.with_context(|| format!("pod-{number} is not there"))
    }

    /// The rule set of `event`, ready in its namespace before its time comes.
    pub(super) fn prepare(&self, event: &Event) -> anyhow::Result<Option<Prepared>> {
        let (namespace, rules): (&str, Ruleset) = match (event.on, event.action) {
            (Target::Pod(pod), Action::Silence) => (self.namespace(pod), silence()),
            (Target::Pod(pod), Action::RejectHostUnreachable) => (self.namespace(pod), host_unreachable()),
            (Target::Pod(pod), Action::Restore | Action::Start | Action::Succeed(_)) => {
                (self.namespace(pod), undisturbed())
            }
            (Target::Pod(pod), Action::DropNeighbour) => {
                (self.namespace(pod), drop_dials_of(self.topology.neighbour.address))
            }
            (Target::Client, action) => {
                let port = &self.topology.client.role;
                let rules = match action {
                    Action::Silence => silence_port(port),
                    Action::Lose(percent) => lose_at_port(port, percent),
                    _ => undisturbed_ports(),
                };
                (&self.topology.bridge, rules)
            }
            _ => return Ok(None),
        };
        Ok(Some(Prepared::new(namespace, rules)?))
    }

    /// Does what is to be done, beside the rules of [`Self::prepare`]. Returns the signal that ended a pod that was killed.
    pub(super) async fn act(&mut self, event: &Event) -> anyhow::Result<Option<i32>> {
        match (event.on, event.action) {
            (Target::Pod(pod), Action::Kill) => {
                let status = self.process(pod)?.kill().await?;
                self.pods[pod] = None;
                return Ok(status.signal());
            }
            (Target::Pod(pod), Action::Terminate) => {
                // As Kubernetes does it: everybody is told at once.
                self.api.order(&api::Order::Terminating(self.ip(pod))).await?;
                self.process(pod)?.terminate()?;
                self.leaving.push(pod);
            }
            (Target::Pod(pod), Action::Start) => self.join(pod).await?,
            (Target::Pod(pod), Action::Succeed(successor)) => {
                self.places[successor] = self.places[pod];
                self.join(successor).await?;
            }
            (Target::Pod(pod), Action::Slow(ms)) => {
                let order = pod::Order::Think(Duration::from_millis(ms.into()));
                self.process(pod)?.order(&order).await?;
            }
            (Target::Pod(pod), Action::StopAccepting | Action::Accept) => {
                let order = pod::Order::Accept(event.action == Action::Accept);
                self.process(pod)?.order(&order).await?;
            }
            (Target::Monitor, Action::Kill) => {
                if let Some(monitor) = self.monitor.take() {
                    monitor.end().await?;
                }
            }
            (Target::Monitor, Action::Start) => self.monitor = Some(self.watch().await?),
            _ => {}
        }
        Ok(None)
    }

    /// DNS names a pod no longer.
    pub(super) async fn forget(&mut self, pod: usize) -> anyhow::Result<()> {
        self.dns.order(&dns::Order::Forget(self.ip(pod))).await
    }

    /// The processes that ended and were not meant to.
    pub(super) fn died(&mut self) -> anyhow::Result<Vec<String>> {
        let mut died = Vec::new();
        let pods = self.pods.iter_mut().enumerate();
        let pods = pods.filter(|(number, _)| !self.leaving.contains(number));
        let others = [&mut self.dns, &mut self.api].into_iter().chain(&mut self.neighbour);
        for process in pods.filter_map(|(_, pod)| pod.as_mut()).chain(others) {
            if let Some(status) = process.exit()? {
                died.push(format!("{} ({status})", process.name()));
            }
        }
        if let Some(monitor) = &mut self.monitor
            && let Some(status) = monitor.exit()?
        {
            died.push(format!("the monitor ({status}; it said: {})", monitor.said()));
        }
        Ok(died)
    }
}

/// Where a pod's journal lies.
fn journal(directory: &Path, name: &str) -> PathBuf {
    directory.join(name)
}

/// `--listen` and one `--pod` for each address.
fn options(listen: SocketAddr, pods: &[Ipv4Addr]) -> Vec<String> {
    let mut options = vec!["--listen".to_owned(), listen.to_string()];
    for pod in pods {
        options.extend(["--pod".to_owned(), pod.to_string()]);
    }
    options
}
