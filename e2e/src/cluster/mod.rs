//! A real Kubernetes in network namespaces of this machine.

use std::path::PathBuf;

use anyhow::{Result, bail};

/// A cluster of our own. Dropping it takes it down.
#[derive(Debug)]
pub(crate) struct Cluster {}

#[allow(dead_code, reason = "for the cases")]
impl Cluster {
    /// Takes a node's network away, as a pulled cable would, or gives it back. Returns once it is so.
    pub(crate) fn set_link(&self, node: &str, up: bool) -> Result<()> {
        bail!("set_link {node} {up}: not here yet")
    }

    /// Ends the API server. What the kubelets run goes on running.
    pub(crate) fn stop_api(&self) -> Result<()> {
        bail!("stop_api: not here yet")
    }

    /// Starts the API server again and waits until it answers.
    pub(crate) fn start_api(&self) -> Result<()> {
        bail!("start_api: not here yet")
    }

    /// SIGKILLs the first process of each container of a pod (its sandbox lives on): what a crash or the OOM killer does.
    /// Named by the pod's uid, found on `node`. Returns how many were killed.
    ///
    /// # Errors
    /// When no container of that pod runs there.
    pub(crate) fn kill_pod(&self, node: &str, pod_uid: &str) -> Result<usize> {
        bail!("kill_pod {node} {pod_uid}: not here yet")
    }

    /// Takes CoreDNS's way to the API away, or gives it back: meanwhile it answers what it last knew.
    pub(crate) fn set_dns_watch(&self, up: bool) -> Result<()> {
        bail!("set_dns_watch {up}: not here yet")
    }

    /// Loads images into each node.
    pub(crate) fn load_images(&self, tars: &[PathBuf]) -> Result<()> {
        bail!("load_images {}: not here yet", tars.len())
    }
}
