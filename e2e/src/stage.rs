//! What a case acts on: a cluster, ours or somebody's.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::cluster::Cluster;
use crate::command::Tool;
use crate::kubectl::Kubectl;

/// A cluster with the project's manifests beside it.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) kubectl: Kubectl,
    pub(crate) helm: PathBuf,
    pub(crate) deploy: PathBuf,
    pub(crate) own: Option<Cluster>,
}

impl Stage {
    /// kubectl, as the cluster's administrator.
    pub(crate) fn kubectl(&self) -> &Kubectl {
        &self.kubectl
    }

    /// helm with these arguments, as the cluster's administrator.
    pub(crate) fn helm(&self, arguments: &[&str]) -> Tool {
        self.kubectl.other(&self.helm).args(arguments)
    }

    /// The folder `deploy/` with the manifests.
    pub(crate) fn deploy(&self) -> &Path {
        &self.deploy
    }

    /// Our own cluster, if it is one: some faults only befall that.
    pub(crate) fn own(&self) -> Option<&Cluster> {
        self.own.as_ref()
    }

    /// Our own cluster, for a case that said it needs one.
    ///
    /// # Errors
    /// When it is somebody's.
    pub(crate) fn cluster(&self) -> Result<&Cluster> {
        self.own().context("this cluster is not ours to break")
    }

    /// The names of the cluster's nodes.
    ///
    /// # Errors
    /// When the API does not say.
    pub(crate) fn nodes(&self) -> Result<Vec<String>> {
        let nodes = self.kubectl.get_json(&["nodes"])?;
        let items = nodes["items"]
            .as_array()
            .context("kubectl get nodes printed no items")?;
        let names = items.iter().filter_map(|node| node["metadata"]["name"].as_str());
        Ok(names.map(str::to_owned).collect())
    }
}
