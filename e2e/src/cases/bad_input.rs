//! Applications that ask for what is not there or cannot be: told so, and nobody else is disturbed.

use std::time::Duration;

use anyhow::{Result, bail};

use crate::clock;
use crate::interrupt;
use crate::stage::Stage;

use super::app::{App, Caller, NAMESPACE, SLOWEST_MS, now_ms};

/// What they ask for, and words of what they are to be told.
const ASKED: [(&str, &str, &str); 2] = [
    ("asks-for-nobody", "nobody", "nobody.obit-e2e"),
    ("asks-for-no-name", "Not_A_Name", "Not_A_Name"),
];

/// How long they may take to be told.
const PATIENCE: Duration = Duration::from_secs(30);

/// Starts them, and reads what they log.
pub(super) fn bad_input(stage: &Stage) -> Result<String> {
    let app = App::ready(stage)?;
    let at = now_ms();
    let manifest: String = ASKED.iter().map(|(pod, service, _)| asker(pod, service)).collect();
    app.kubectl().apply(&manifest)?;
    let told = ASKED.iter().try_for_each(|(pod, _, words)| told(&app, pod, words));
    let seen = app.saw(at, (now_ms() - at) / 1_000 + 1);
    app.kubectl().delete(&manifest, PATIENCE)?;
    told?;
    let figures = seen?.promise(&[Caller::Obit, Caller::ObitDns], SLOWEST_MS)?;
    Ok(format!("both were told; others: {figures}"))
}

fn asker(pod: &str, service: &str) -> String {
    format!(
        r#"---
apiVersion: v1
kind: Pod
metadata: {{name: {pod}, namespace: {NAMESPACE}}}
spec:
  restartPolicy: Never
  automountServiceAccountToken: false
  containers:
    - name: call
      image: obit-example:0.1.0
      imagePullPolicy: IfNotPresent
      args: [call, --service, {service}, --namespace, {NAMESPACE}, --rate, "10", --callers, "1"]
      volumeMounts: [{{name: obit, mountPath: /run/obit, readOnly: true}}]
  volumes: [{{name: obit, hostPath: {{path: /run/obit, type: Directory}}}}]
"#
    )
}

/// Waits until its log says why there is no answer.
fn told(app: &App<'_>, pod: &str, words: &str) -> Result<()> {
    let deadline = clock::now() + PATIENCE;
    loop {
        // Before the container has started there is no log.
        let log = app.kubectl().try_run(&["-n", NAMESPACE, "logs", pod])?.stdout;
        if log.lines().any(|line| is_reason(line, words)) {
            return Ok(());
        }
        if clock::now() >= deadline {
            let last = log.lines().next_back().unwrap_or("nothing").to_owned();
            bail!("{pod} was not told about {words} within {PATIENCE:?}; its log ends with: {last}");
        }
        interrupt::pause(Duration::from_millis(500))?;
    }
}

/// A failure by name: of a call, or of the whole program.
fn is_reason(line: &str, words: &str) -> bool {
    let failed = line.contains(r#""errors":{""#) || line.starts_with("obit-example: ");
    failed && line.contains(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_a_failure_that_names_what_was_asked_for() {
        let second =
            r#"{"event":"second","errors":{"Unavailable: no endpoint: nobody.obit-e2e:50051 is no service":3}}"#;
        assert!(is_reason(second, "nobody.obit-e2e"));
        assert!(is_reason(
            "obit-example: \"obit:///Not_A_Name.x:1\" names no port",
            "Not_A_Name"
        ));
        assert!(!is_reason(
            r#"{"event":"start","target":"obit:///nobody.obit-e2e:50051"}"#,
            "nobody.obit-e2e"
        ));
        assert!(!is_reason(r#"{"event":"second","errors":{}}"#, "nobody.obit-e2e"));
    }
}
