//! `kubectl` as a person would use it: what a case does, a reader can do by hand.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::command::{Done, Tool};

/// How much longer kubectl may take than the time it was told itself.
const GRACE: Duration = Duration::from_secs(10);

/// One cluster's kubectl. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Kubectl {
    /// What stands before it: how to get to where the API is.
    before: Vec<OsString>,
    program: PathBuf,
    kubeconfig: PathBuf,
}

impl Kubectl {
    /// With this kubeconfig; inside the network namespace of that name, if there is one.
    pub(crate) fn new(program: PathBuf, kubeconfig: PathBuf, namespace: Option<&str>) -> Self {
        let before = namespace.map(|name| vec!["nsenter".into(), format!("--net=/run/netns/{name}").into()]);
        Self {
            before: before.unwrap_or_default(),
            program,
            kubeconfig,
        }
    }

    /// The kubeconfig.
    pub(crate) fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Another program that speaks to the same API (helm): it finds the kubeconfig in its environment.
    pub(crate) fn other(&self, program: &Path) -> Tool {
        let mut words = self.before.iter().map(OsString::as_os_str).chain([program.as_os_str()]);
        let tool = Tool::new(words.next().unwrap_or(OsStr::new("false"))).args(words);
        tool.env("KUBECONFIG", &self.kubeconfig)
    }

    /// kubectl with these arguments, to be given a patience or an input and run.
    pub(crate) fn tool(&self, arguments: &[&str]) -> Tool {
        self.other(&self.program).args(arguments)
    }

    /// Runs it and returns what it printed.
    pub(crate) fn run(&self, arguments: &[&str]) -> Result<String> {
        self.tool(arguments).must()
    }

    /// Runs it, whatever comes of it.
    pub(crate) fn try_run(&self, arguments: &[&str]) -> Result<Done> {
        self.tool(arguments).run()
    }

    /// Applies this manifest.
    pub(crate) fn apply(&self, manifest: &str) -> Result<String> {
        self.tool(&["apply", "-f", "-"]).input(manifest).must()
    }

    /// Applies a kustomization's folder.
    pub(crate) fn apply_folder(&self, folder: &Path) -> Result<String> {
        self.tool(&["apply", "-k"]).arg(folder).must()
    }

    /// Deletes what this manifest names, if it is there, and waits until it is gone.
    pub(crate) fn delete(&self, manifest: &str, patience: Duration) -> Result<String> {
        self.deleting(&["-f", "-"], patience).input(manifest).must()
    }

    /// Deletes what a kustomization names, if it is there, and waits until it is gone.
    pub(crate) fn delete_folder(&self, folder: &Path, patience: Duration) -> Result<String> {
        let folder = folder.to_string_lossy();
        self.deleting(&["-k", folder.as_ref()], patience).must()
    }

    fn deleting(&self, what: &[&str], patience: Duration) -> Tool {
        let told = seconds(patience);
        let tool = self.tool(&["delete", "--ignore-not-found", "--wait", "--timeout", &told]);
        tool.args(what).patience(patience + GRACE)
    }

    /// `get ARGUMENTS -o json`.
    pub(crate) fn get_json(&self, arguments: &[&str]) -> Result<Value> {
        let printed = self.tool(&["get", "-o", "json"]).args(arguments).must()?;
        serde_json::from_str(&printed).with_context(|| format!("what kubectl get {} printed", arguments.join(" ")))
    }

    /// `wait ARGUMENTS`, as long as `patience`.
    pub(crate) fn wait(&self, arguments: &[&str], patience: Duration) -> Result<String> {
        let told = seconds(patience);
        let tool = self.tool(&["wait", "--timeout", &told]).args(arguments);
        tool.patience(patience + GRACE).must()
    }

    /// Waits until everything of `what` ("deployment/x", "daemonset/y") is rolled out.
    pub(crate) fn rollout_status(&self, namespace: &str, what: &str, patience: Duration) -> Result<String> {
        let told = seconds(patience);
        let tool = self.tool(&["-n", namespace, "rollout", "status", what, "--timeout", &told]);
        tool.patience(patience + GRACE).must()
    }

    /// Runs a program in a container and returns what it printed.
    pub(crate) fn exec(&self, namespace: &str, pod: &str, container: &str, line: &[&str]) -> Result<String> {
        let tool = self.tool(&["-n", namespace, "exec", pod, "-c", container, "--"]);
        tool.args(line).must()
    }
}

fn seconds(time: Duration) -> String {
    format!("{}s", time.as_secs().max(1))
}
