//! Whether Kubernetes is watched, and how it is reached.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, ValueEnum};

use crate::kubernetes::Access;
use crate::subscribers::Policy;

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
    /// Which services the pods of each namespace may ask for, as this file says (TOML); else everybody may ask for every one
    #[arg(long, env = "OBIT_SERVICE_POLICY", value_name = "FILE")]
    service_policy: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kubernetes {
    Auto,
    On,
    Off,
}

impl KubernetesArgs {
    /// Who may ask for what; `None`: everybody for everything.
    pub(super) fn policy(&self) -> anyhow::Result<Option<Policy>> {
        let policy = self.service_policy.as_deref().map(Policy::read).transpose();
        policy.context("--service-policy")
    }

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
