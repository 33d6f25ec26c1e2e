//! A real Kubernetes in network namespaces of this machine: etcd and the control plane in one, CoreDNS in another, and each node with
//! its containerd and kubelet in one of its own, with a mount and a PID namespace besides.
//!
//! The whole of it ends with this process, however that ends: the control plane by the kernel's parent-death signal, a node because
//! its first process reads a pipe from here, and the kernel ends a PID namespace with its first process.
//!
//! One thing is not as on a machine of one's own: the kernel is one for all nodes. The monitor of each node sees the sockets of all of
//! them, so to it a pod on another node is one of its own, and that a listener closed there is known to it.

mod address;
mod cgroups;
mod containerd;
mod containers;
mod control;
mod dns;
mod fabric;
mod hold;
mod images;
mod kubeconfig;
mod kubelet;
mod name;
mod neighbour;
mod node;
mod parts;
mod pki;
mod process;
mod readiness;
mod sweep;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};

pub(crate) use self::hold::hold;

use self::address::NodeNumber;
use self::cgroups::Cgroups;
use self::control::Control;
use self::fabric::Fabric;
use self::name::RunId;
use self::node::Node;
use self::parts::Parts;
use self::pki::Pki;
use self::process::Process;
use crate::clock;
use crate::kubectl::Kubectl;

/// A cluster of our own. Dropping it takes it down.
#[derive(Debug)]
pub(crate) struct Cluster {
    // In the order in which they go.
    dns: Process,
    control: Control,
    nodes: Vec<Node>,
    kubectl: Kubectl,
    ground: Ground,
}

/// What all parts of a cluster stand on. Dropping it removes all that is not a process.
#[derive(Debug)]
struct Ground {
    parts: Parts,
    pki: Pki,
    folder: PathBuf,
    logs: PathBuf,
    cgroups: Cgroups,
    fabric: Fabric,
}

impl Cluster {
    /// Stands up a cluster of so many nodes with these images, whose files go below `folder`.
    pub(crate) fn new(parts: &Path, folder: &Path, nodes: u8, images: &[PathBuf]) -> Result<Self> {
        ensure!(
            rustix::process::geteuid().is_root(),
            "a cluster is made of network namespaces and needs root: run it with sudo, or use one of your own with --kubeconfig"
        );
        let begun = clock::now();
        sweep::sweep()?;
        let ground = Ground::new(parts, folder, nodes)?;
        let kubeconfig = kubeconfig::write(&ground.pki, "admin")?;
        let fabric = ground.fabric.namespace("fabric");
        let kubectl = Kubectl::new(ground.parts.bin("kubectl"), kubeconfig, Some(&fabric));
        let control = Control::new(&ground)?;
        let mut made = Vec::new();
        for number in NodeNumber::all(nodes) {
            kubeconfig::write(&ground.pki, &number.name())?;
            made.push(Node::new(&ground, number)?);
        }
        say(begun, "nodes laid out");
        readiness::await_api(&kubectl, || control.runs())?;
        say(begun, "API ready");
        control.follow(&ground)?;
        made.iter_mut().try_for_each(|node| node.join(&ground))?;
        let mut cluster = Self {
            dns: dns::start(&ground)?,
            control,
            nodes: made,
            kubectl,
            ground,
        };
        cluster.load_images(images)?;
        say(begun, "images loaded");
        let names: Vec<_> = cluster.nodes.iter().map(|node| node.name().to_owned()).collect();
        let ready = readiness::await_nodes(&cluster.kubectl, &names);
        // A process that ended says more than that a node is not ready.
        cluster.runs()?;
        ready?;
        say(begun, "nodes ready");
        Ok(cluster)
    }

    /// kubectl, as this cluster's administrator.
    pub(crate) fn kubectl(&self) -> &Kubectl {
        &self.kubectl
    }

    /// How a person gets at it.
    pub(crate) fn invitation(&self) -> String {
        format!(
            "sudo ip netns exec {} {} --kubeconfig {} get pods -A",
            self.ground.fabric.namespace("fabric"),
            self.ground.parts.bin("kubectl").display(),
            self.kubectl.kubeconfig().display()
        )
    }

    fn runs(&mut self) -> Result<()> {
        self.control.runs()?;
        self.dns.runs()?;
        self.nodes.iter_mut().try_for_each(Node::runs)
    }

    fn node(&self, name: &str) -> Result<&Node> {
        let node = self.nodes.iter().find(|node| node.name() == name);
        node.with_context(|| format!("there is no node {name}"))
    }
}

impl Cluster {
    /// Takes a node's network away, as a pulled cable would, or gives it back. Returns once it is so.
    pub(crate) fn set_link(&self, node: &str, up: bool) -> Result<()> {
        self.node(node)?;
        self.ground.fabric.set_link(node, up)
    }

    /// Ends the API server, as a crash would. What the kubelets run goes on running.
    pub(crate) fn stop_api(&self) -> Result<()> {
        self.control.stop_api();
        Ok(())
    }

    /// Starts the API server again and waits until it answers.
    pub(crate) fn start_api(&self) -> Result<()> {
        self.control.start_api(&self.ground)?;
        readiness::await_api(&self.kubectl, || self.control.runs())
    }

    /// SIGKILLs the first process of each container of a pod (its sandbox lives on): what a crash or the OOM killer does.
    /// Named by the pod's uid, found on `node`. Returns how many were killed.
    ///
    /// # Errors
    /// When no container of that pod runs there.
    pub(crate) fn kill_pod(&self, node: &str, pod_uid: &str) -> Result<usize> {
        containers::kill(&self.ground, self.node(node)?, pod_uid)
    }

    /// Takes CoreDNS's way to the API away, or gives it back: meanwhile it answers what it last knew.
    pub(crate) fn set_dns_watch(&self, up: bool) -> Result<()> {
        self.ground.fabric.set_dns_watch(up)
    }

    /// Loads images into each node.
    pub(crate) fn load_images(&self, archives: &[PathBuf]) -> Result<()> {
        images::load(&self.ground, &self.nodes, archives)
    }
}

impl Ground {
    fn new(parts: &Path, folder: &Path, nodes: u8) -> Result<Self> {
        let run = RunId::of_this_process();
        let parts = Parts::new(parts)?;
        let logs = folder.join("log");
        fs::create_dir_all(&logs).with_context(|| format!("making {}", logs.display()))?;
        Ok(Self {
            parts,
            pki: Pki::new(folder.join("pki"), nodes)?,
            folder: folder.into(),
            logs,
            cgroups: Cgroups::new(run, NodeNumber::all(nodes).map(NodeNumber::name))?,
            fabric: Fabric::new(run, nodes)?,
        })
    }
}

fn say(begun: Instant, what: &str) {
    eprintln!("   {:5.1} s  {what}", begun.elapsed().as_secs_f64());
}
