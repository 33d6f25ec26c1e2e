//! The monitor on the stage, installed as its documentation says.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::clock;
use crate::interrupt;
use crate::stage::Stage;

/// Its namespace.
pub(super) const NAMESPACE: &str = "obit-system";

/// Its DaemonSet, as kubectl names it.
pub(super) const DAEMONSET: &str = "daemonset/obit-monitor";

/// How long a rollout may take: of each ten seconds are waited for by `minReadySeconds`, node by node.
pub(super) const PATIENCE: Duration = Duration::from_secs(150);

/// After that the DaemonSet's controller is taken to have lost sight of it, see docs/troubleshooting.md.
const STALLED: Duration = Duration::from_secs(75);

/// A monitor's pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pod {
    pub(super) name: String,
    pub(super) uid: String,
    pub(super) node: String,
}

/// The kustomization that installs it.
pub(super) fn overlay(stage: &Stage) -> PathBuf {
    stage.deploy().join("overlays/default")
}

/// Installs it unless it is there, and waits until it is ready on each node.
pub(super) fn ensure(stage: &Stage) -> Result<()> {
    stage.kubectl().apply_folder(&overlay(stage))?;
    rolled_out(stage)
}

/// Waits until it is ready on each node.
pub(super) fn rolled_out(stage: &Stage) -> Result<()> {
    if stage.kubectl().rollout_status(NAMESPACE, DAEMONSET, STALLED).is_ok() {
        return Ok(());
    }
    eprintln!("  not rolled out after {STALLED:?}: reminding the controller of the DaemonSet by an annotation");
    let reminder = format!("obit.e2e/reminded-at={}", clock::realtime_ns());
    stage
        .kubectl()
        .run(&["-n", NAMESPACE, "annotate", "--overwrite", DAEMONSET, &reminder])?;
    let waited = stage.kubectl().rollout_status(NAMESPACE, DAEMONSET, PATIENCE);
    waited
        .map(drop)
        .with_context(|| format!("the monitor is not ready: {}", troubles(stage)))
}

/// Its pods; those that end as well.
pub(super) fn pods(stage: &Stage) -> Result<Vec<Pod>> {
    let list = stage.kubectl().get_json(&["-n", NAMESPACE, "pods"])?;
    let items = list["items"].as_array().context("kubectl get pods printed no items")?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let pod = |item: &Value| Pod {
        name: text(&item["metadata"]["name"]),
        uid: text(&item["metadata"]["uid"]),
        node: text(&item["spec"]["nodeName"]),
    };
    Ok(items.iter().map(pod).collect())
}

/// One ready pod on each node, as `obit ready` in it says.
pub(super) fn one_on_each_node(stage: &Stage) -> Result<Vec<Pod>> {
    let mut nodes = stage.nodes()?;
    nodes.sort_unstable();
    let mut pods = pods(stage)?;
    pods.sort_unstable_by(|a, b| a.node.cmp(&b.node));
    let on: Vec<_> = pods.iter().map(|pod| pod.node.clone()).collect();
    ensure!(on == nodes, "monitors on {on:?}, and the nodes are {nodes:?}");
    for pod in &pods {
        stage
            .kubectl()
            .exec(NAMESPACE, &pod.name, "monitor", &["/obit", "ready"])?;
    }
    Ok(pods)
}

/// Waits until no pod of it is left: those that end are still pods.
pub(super) fn gone(stage: &Stage) -> Result<()> {
    let deadline = clock::now() + PATIENCE;
    loop {
        let left = pods(stage)?;
        if left.is_empty() {
            return Ok(());
        }
        if clock::now() >= deadline {
            bail!("pods of the monitor are left after {PATIENCE:?}: {left:?}");
        }
        interrupt::pause(Duration::from_millis(500))?;
    }
}

/// What its pods and their events say, for an error.
fn troubles(stage: &Stage) -> String {
    let said = |arguments: &[&str]| {
        let done = stage.kubectl().try_run(arguments);
        done.map_or_else(|error| format!("{error:#}"), |done| done.stdout)
    };
    let pods = said(&["-n", NAMESPACE, "get", "pods", "-o", "wide"]);
    let log = said(&["-n", NAMESPACE, "logs", DAEMONSET, "--tail", "3"]);
    let events = said(&["-n", NAMESPACE, "get", "events", "-o", "custom-columns=M:.message"]);
    let events: Vec<_> = events.lines().rev().take(3).collect();
    format!("{pods}\n{log}\n{}", events.join("\n"))
}
