//! When a cluster can be used: the API answers, the nodes are ready, and pods can be made.

use std::time::Duration;

use anyhow::{Result, bail};

use crate::clock;
use crate::interrupt::pause;
use crate::kubectl::Kubectl;

/// How long the API may take to answer.
const API: Duration = Duration::from_secs(90);

/// How long the nodes may take to be ready, from then on.
const NODES: Duration = Duration::from_secs(90);

/// How often the API is asked.
const LOOK: Duration = Duration::from_millis(100);

/// Waits until the API answers that it is ready; `runs` fails when what is waited for can no longer come.
pub(super) fn await_api(kubectl: &Kubectl, mut runs: impl FnMut() -> Result<()>) -> Result<()> {
    let late = clock::now() + API;
    loop {
        let asked = kubectl.try_run(&["get", "--raw", "/readyz", "--request-timeout=2s"])?;
        if asked.status.success() {
            return Ok(());
        }
        runs()?;
        if clock::now() > late {
            bail!("the API is not ready after {API:?}: {}", asked.stderr.trim());
        }
        pause(LOOK)?;
    }
}

/// Waits until these nodes are ready and pods can be made.
pub(super) fn await_nodes(kubectl: &Kubectl, nodes: &[String]) -> Result<()> {
    let nodes: Vec<_> = nodes.iter().map(|node| format!("node/{node}")).collect();
    let wait = |condition, what: &[&str]| kubectl.wait(&[&[condition], what].concat(), NODES);
    let nodes: Vec<_> = nodes.iter().map(String::as_str).collect();
    wait("--for=create", &nodes)?;
    wait("--for=condition=Ready", &nodes)?;
    // A pod without one is refused.
    wait("--for=create", &["serviceaccount/default"]).map(drop)
}
