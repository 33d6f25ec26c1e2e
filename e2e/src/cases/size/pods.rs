//! As many pods on a node as kubelet takes.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::stage::Stage;

use super::NAMESPACE;

/// What kubelet takes by default, and what Kubernetes is tested with.
pub(super) const PODS: usize = 110;

/// How long they may take to run, all on one machine that does other things as well.
const PATIENCE: Duration = Duration::from_secs(400);

/// Starts so many that there are [`PODS`] on the node, those that were there before included.
pub(super) fn fill(stage: &Stage, node: &str) -> Result<()> {
    let there = on(stage, node)?;
    ensure!(there < PODS, "{there} pods are on {node} already");
    stage.kubectl().apply(&manifest(node, PODS - there))?;
    stage.kubectl().rollout_status(NAMESPACE, "deployment/many", PATIENCE)?;
    let there = on(stage, node)?;
    ensure!(there == PODS, "{there} pods are on {node}, and {PODS} are to be");
    Ok(())
}

/// How many pods are on the node.
fn on(stage: &Stage, node: &str) -> Result<usize> {
    let of = format!("spec.nodeName={node}");
    let list = stage
        .kubectl()
        .get_json(&["pods", "--all-namespaces", "--field-selector", &of])?;
    let items = list["items"].as_array().context("kubectl get pods printed no items")?;
    Ok(items.len())
}

/// Pods of the process that holds a pod's namespaces, twice: it takes next to nothing.
fn manifest(node: &str, count: usize) -> String {
    format!(
        r#"
apiVersion: apps/v1
kind: Deployment
metadata: {{name: many, namespace: {NAMESPACE}}}
spec:
  replicas: {count}
  selector: {{matchLabels: {{app: many}}}}
  strategy: {{rollingUpdate: {{maxUnavailable: 0}}}}
  progressDeadlineSeconds: 600
  template:
    metadata: {{labels: {{app: many}}}}
    spec:
      nodeSelector: {{kubernetes.io/hostname: {node}}}
      terminationGracePeriodSeconds: 0
      automountServiceAccountToken: false
      enableServiceLinks: false
      containers: [{{name: pause, image: "obit-e2e.local/pause:1", imagePullPolicy: Never}}]
"#
    )
}
