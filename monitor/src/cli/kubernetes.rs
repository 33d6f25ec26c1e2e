//! Whether Kubernetes is watched, and how it is reached.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::kubernetes::Access;

/// Set in every pod, to the address of the API.
const IN_A_POD: &str = "KUBERNETES_SERVICE_HOST";

#[derive(Debug, Args)]
pub(super) struct KubernetesArgs {
    /// Watch Kubernetes, and tell subscribers the endpoints of services; auto: in a pod, or with a kubeconfig
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = Kubernetes::Auto)]
    kubernetes: Kubernetes,
    /// How to reach the Kubernetes API; else the service account of the pod
    #[arg(long, env = "KUBECONFIG", value_name = "PATH")]
    kubeconfig: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kubernetes {
    Auto,
    On,
    Off,
}

impl KubernetesArgs {
    /// The way to the API; `None`: it is not to be watched.
    pub(super) fn access(&self) -> Option<Access> {
        let there = self.kubeconfig.is_some() || std::env::var_os(IN_A_POD).is_some();
        let watch = match self.kubernetes {
            Kubernetes::Auto => there,
            Kubernetes::On => true,
            Kubernetes::Off => false,
        };
        watch.then(|| Access {
            kubeconfig: self.kubeconfig.clone(),
        })
    }
}
