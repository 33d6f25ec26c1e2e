//! A node: namespaces with their first process, containerd, kubelet and kube-proxy.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::address::{NodeNumber, PODS};
use super::containerd::{self, SOCKET};
use super::process::{Plan, Process};
use super::{Ground, hold, kubelet};
use crate::command::Tool;
use crate::interrupt::pause;
use crate::{clock, cluster::kubeconfig};

/// How long a node's first process and containerd may take to be there.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long the kernel may take to end everything in a node.
const END: Duration = Duration::from_secs(20);

/// How often is looked whether something is there.
const LOOK: Duration = Duration::from_millis(20);

/// The names of a node's namespaces, each with the option of nsenter that enters it and its file in /proc.
const NAMESPACES: [(&str, &str); 3] = [("--mount", "mnt"), ("--net", "net"), ("--pid", "pid_for_children")];

/// A running node. Dropping it ends all that runs in it.
#[derive(Debug)]
pub(super) struct Node {
    name: String,
    number: NodeNumber,
    folder: PathBuf,
    /// Ended before the first process: their own ends are then no surprise in their logs.
    parts: Vec<Process>,
    first: Process,
}

impl Node {
    /// Lays out the node and starts containerd in it.
    pub(super) fn new(ground: &Ground, number: NodeNumber) -> Result<Self> {
        let name = number.name();
        let folder = ground.folder.join(&name);
        fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        let first = first(ground, &name, &folder)?;
        let mut node = Self {
            name,
            number,
            folder,
            parts: Vec::new(),
            first,
        };
        node.start_containerd(ground)?;
        Ok(node)
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Starts kubelet and kube-proxy, which want the API.
    pub(super) fn join(&mut self, ground: &Ground) -> Result<()> {
        let cgroup = ground.cgroups.of(&self.name);
        let config = kubelet::config(&ground.pki, self.number, &cgroup, &self.folder);
        self.write("kubelet.yaml", &format!("{config:#}\n"))?;
        let plan = self.plan("kubelet", &ground.parts.bin("kubelet"));
        let plan = kubelet::arguments(plan, &ground.pki, self.number, &self.folder);
        self.start(plan.env("PATH", ground.parts.path()), ground)?;
        let kubeconfig = kubeconfig::write(&ground.pki, "proxy")?;
        let plan = self.plan("kube-proxy", &ground.parts.bin("kube-proxy"));
        let plan = plan.option("--kubeconfig", &kubeconfig).args(proxy(&self.name));
        self.start(plan.env("PATH", ground.parts.path()), ground)
    }

    /// Fails when one of its processes has ended.
    pub(super) fn runs(&mut self) -> Result<()> {
        self.first.runs()?;
        self.parts.iter_mut().try_for_each(Process::runs)
    }

    /// containerd's own client, in the node.
    pub(super) fn ctr(&self, ground: &Ground) -> Tool {
        let tool = Tool::new("nsenter").args(self.enter(&NAMESPACES[..2]));
        tool.arg(ground.parts.debian("ctr")).args(["--namespace", "k8s.io"])
    }

    fn start_containerd(&mut self, ground: &Ground) -> Result<()> {
        let config = containerd::config(&ground.parts, &self.folder);
        self.write("containerd.toml", &config)?;
        let networks = containerd::networks_folder(&self.folder);
        fs::create_dir_all(&networks).context("the folder of networks")?;
        let network = containerd::network(self.number);
        self.write("networks/10-pods.conflist", &format!("{network:#}\n"))?;
        let plan = self.plan("containerd", &ground.parts.debian("containerd"));
        let plan = plan.arg("--config").arg(self.folder.join("containerd.toml"));
        self.start(plan.env("PATH", ground.parts.path()), ground)?;
        let socket = format!("/proc/{}/root{SOCKET}", self.first.pid());
        let late = clock::now() + PATIENCE;
        while !Path::new(&socket).exists() {
            self.runs()?;
            ensure!(
                clock::now() < late,
                "containerd of {} does not listen after {PATIENCE:?}",
                self.name
            );
            pause(LOOK)?;
        }
        Ok(())
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        let file = self.folder.join(name);
        fs::write(&file, text).with_context(|| format!("writing {}", file.display()))
    }

    /// A program in the node's namespaces. It is a child of nsenter's, and dies with it.
    fn plan(&self, name: &str, program: &Path) -> Plan {
        Plan::new(&format!("{}-{name}", self.name), "nsenter")
            .args(self.enter(&NAMESPACES))
            .args(["setpriv", "--pdeathsig", "KILL", "--"])
            .arg(program)
    }

    fn start(&mut self, plan: Plan, ground: &Ground) -> Result<()> {
        self.parts.push(plan.start(&ground.logs)?);
        Ok(())
    }

    fn enter(&self, namespaces: &[(&str, &str)]) -> Vec<OsString> {
        let pid = self.first.pid();
        let option = |(option, file): &(&str, &str)| format!("{option}=/proc/{pid}/ns/{file}").into();
        namespaces.iter().map(option).collect()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // The kernel ends all of a PID namespace when its first process ends, and only then is unshare done waiting.
        self.first.hang_up();
        self.first.await_end(END);
        self.parts.clear();
    }
}

/// The first process of a node, laid out. It is unshare's child, and ends with the pipe to its standard input.
fn first(ground: &Ground, name: &str, folder: &Path) -> Result<Process> {
    let program = std::env::current_exe().context("the path of this program")?;
    let mut first = Plan::inside(&ground.fabric.namespace(name), &format!("{name}-first"), "unshare")
        .args(["--mount", "--pid", "--fork", "--kill-child=KILL", "--mount-proc", "--"])
        .arg(program)
        .arg("hold")
        .arg(folder)
        .start(&ground.logs)?;
    let late = clock::now() + PATIENCE;
    while !fs::read_to_string(first.log())
        .unwrap_or_default()
        .lines()
        .any(|line| line == hold::READY)
    {
        first.runs()?;
        ensure!(clock::now() < late, "{name} is not laid out after {PATIENCE:?}");
        pause(LOOK)?;
    }
    Ok(first)
}

/// kube-proxy changes nothing of the machine: no settings of its connection tracking.
fn proxy(node: &str) -> Vec<String> {
    let fixed = [
        "--proxy-mode=nftables",
        "--conntrack-max-per-core=0",
        "--conntrack-min=0",
        "--conntrack-tcp-timeout-established=0",
        "--conntrack-tcp-timeout-close-wait=0",
        "--oom-score-adj=0",
        "--healthz-bind-address=127.0.0.1:10256",
        "--metrics-bind-address=127.0.0.1:10249",
        "--v=2",
    ];
    let own = [format!("--hostname-override={node}"), format!("--cluster-cidr={PODS}")];
    fixed.map(str::to_owned).into_iter().chain(own).collect()
}
