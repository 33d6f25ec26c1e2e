//! The example application, as its documentation installs it.

use std::time::Duration;

use anyhow::{Result, bail};

use crate::clock;
use crate::interrupt;
use crate::saw::{self, Second};
use crate::stage::Stage;

use super::monitor;

/// Its namespace, its deployments, and how many servers it has.
const NAMESPACE: &str = "obit-example";
const DEPLOYMENTS: [&str; 2] = ["deployment/server", "deployment/client"];
const SERVERS: usize = 5;

/// How long each deployment may take, and the client to have called all servers.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long all of it may take to go.
const GOING: Duration = Duration::from_secs(90);

/// `kubectl apply -k deploy/example`: the client calls all servers.
pub(super) fn example(stage: &Stage) -> Result<String> {
    monitor::ensure(stage)?;
    let folder = stage.deploy().join("example");
    let seen = stage.kubectl().apply_folder(&folder).and_then(|_| calls(stage));
    let away = stage.kubectl().delete_folder(&folder, GOING);
    let seen = seen?;
    away?;
    Ok(seen)
}

/// Waits for a second in which every server was called and no call failed.
fn calls(stage: &Stage) -> Result<String> {
    for deployment in DEPLOYMENTS {
        stage.kubectl().rollout_status(NAMESPACE, deployment, PATIENCE)?;
    }
    let deadline = clock::now() + PATIENCE;
    loop {
        let log = stage
            .kubectl()
            .run(&["-n", NAMESPACE, "logs", DEPLOYMENTS[1], "--tail=20"])?;
        let lines = saw::lines(&log);
        let last = saw::seconds(&lines).next_back();
        if let Some(Second { ok, p99_ms, pods, .. }) = last.filter(|second| is_whole(second)) {
            return Ok(format!(
                "{ok} calls in a second to {} servers, p99 {p99_ms:.0} ms",
                pods.len()
            ));
        }
        if clock::now() >= deadline {
            bail!("the client did not call all {SERVERS} servers within {PATIENCE:?}; its last second: {last:?}");
        }
        interrupt::pause(Duration::from_secs(1))?;
    }
}

fn is_whole(second: &Second) -> bool {
    second.is_clean() && second.pods.len() == SERVERS
}
