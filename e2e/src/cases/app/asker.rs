//! A pod that asks for one service, and what its log says of the answer.

use std::time::Duration;

use anyhow::{Result, bail};

use super::{App, NAMESPACE};
use crate::clock;
use crate::interrupt;

/// How long an asker may take to be told: a monitor that was refused by the API asks again after half a minute at the latest.
const PATIENCE: Duration = Duration::from_secs(60);

/// One asker.
#[derive(Debug, Clone, Copy)]
pub(in crate::cases) struct Asker<'a> {
    /// The name of the pod.
    pub(in crate::cases) pod: &'a str,
    /// Which service it asks for, and in which namespace.
    pub(in crate::cases) service: &'a str,
    pub(in crate::cases) namespace: &'a str,
    /// Words of what it is to be told.
    pub(in crate::cases) words: &'a str,
}

impl App<'_> {
    /// Starts the askers, waits until each has a line in its log that `is` what it was to be told, and takes them away.
    pub(in crate::cases) fn ask(&self, askers: &[Asker<'_>], is: fn(&str, &str) -> bool) -> Result<()> {
        let manifest: String = askers.iter().map(manifest).collect();
        self.kubectl().apply(&manifest)?;
        let told = askers.iter().try_for_each(|asker| self.told(asker, is));
        self.kubectl().delete(&manifest, PATIENCE)?;
        told
    }

    fn told(&self, asker: &Asker<'_>, is: fn(&str, &str) -> bool) -> Result<()> {
        let deadline = clock::now() + PATIENCE;
        loop {
            // Before the container has started there is no log.
            let log = self.kubectl().try_run(&["-n", NAMESPACE, "logs", asker.pod])?.stdout;
            if log.lines().any(|line| is(line, asker.words)) {
                return Ok(());
            }
            if clock::now() >= deadline {
                let last = log.lines().next_back().unwrap_or("nothing").to_owned();
                let Asker { pod, words, .. } = asker;
                bail!("{pod} was not told about {words} within {PATIENCE:?}; its log ends with: {last}");
            }
            interrupt::pause(Duration::from_millis(500))?;
        }
    }
}

fn manifest(asker: &Asker<'_>) -> String {
    let Asker {
        pod,
        service,
        namespace,
        ..
    } = asker;
    format!(
        r#"---
apiVersion: v1
kind: Pod
metadata: {{name: {pod}, namespace: {NAMESPACE}}}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 1
  automountServiceAccountToken: false
  containers:
    - name: call
      image: obit-example:0.1.0
      imagePullPolicy: IfNotPresent
      args: [call, --service, {service}, --namespace, {namespace}, --rate, "10", --callers, "1"]
      volumeMounts: [{{name: obit, mountPath: /run/obit, readOnly: true}}]
  volumes: [{{name: obit, hostPath: {{path: /run/obit, type: Directory}}}}]
"#
    )
}
