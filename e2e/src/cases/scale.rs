//! Five servers become seven and five again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::command::Streaming;
use crate::interrupt;
use crate::saw;
use crate::stage::Stage;

use super::app::{App, Caller, NAMESPACE, SERVERS, SLOWEST_MS, now_ms};

/// From Ready to the first call, milliseconds.
const FIRST_CALL_MS: u64 = 200;

/// How long callers are watched with seven servers, and then with five again, seconds.
const WATCHED: u64 = 12;

/// Scales, and asks when who was called first.
pub(super) fn scale(stage: &Stage) -> Result<String> {
    let app = App::ready(stage)?;
    let before: Vec<_> = app.servers()?.into_iter().map(|pod| pod.name).collect();
    let ready = Ready::watch(&app)?;
    let at = now_ms();
    app.run(&["scale", "deployment/greeter", "--replicas=7"])?;
    app.rolled_out("greeter")?;
    let up = app.saw(now_ms(), WATCHED)?;
    let times = ready.times();
    drop(ready);
    let new = times.iter().filter(|(name, _)| !before.contains(name));
    let new: BTreeMap<_, _> = new.map(|(name, at_ms)| (name.clone(), *at_ms)).collect();
    ensure!(new.len() == 2, "{} new servers became ready, and 2 were to", new.len());
    let mut first = Vec::new();
    for caller in Caller::ALL {
        let lines = app.lines(caller, at)?;
        let late: Vec<_> = new
            .iter()
            .map(|(pod, ready)| Some(saw::first_call(&lines, pod)?.saturating_sub(*ready)))
            .collect();
        eprintln!("  {:8}  Ready to first call: {}", caller.name(), said(&late));
        first.push(late);
    }
    let obit = &first[Caller::Obit as usize];
    ensure!(
        obit.iter().all(|late| late.is_some_and(|late| late <= FIRST_CALL_MS)),
        "a new pod was called first {} after it was ready, and {FIRST_CALL_MS} ms are allowed",
        said(obit)
    );
    up.promise(&[Caller::Obit], SLOWEST_MS)
        .context("while there were more")?;
    let at = now_ms();
    app.run(&["scale", "deployment/greeter", &format!("--replicas={SERVERS}")])?;
    let down = app.saw(at, WATCHED)?;
    let down = down
        .promise(&[Caller::Obit], SLOWEST_MS)
        .context("while there were fewer again")?;
    let first = Caller::ALL.iter().zip(&first);
    let first: Vec<_> = first
        .map(|(caller, late)| format!("{}: {}", caller.name(), said(late)))
        .collect();
    Ok(format!("Ready to first call: {} | down: {down}", first.join(" | ")))
}

fn said(late: &[Option<u64>]) -> String {
    let each = late
        .iter()
        .map(|late| late.map_or_else(|| "not yet".to_owned(), |late| format!("{late} ms")));
    each.collect::<Vec<_>>().join(", ")
}

/// When servers became ready, as a watch tells it.
struct Ready {
    times: Arc<Mutex<BTreeMap<String, u64>>>,
    _watch: Streaming,
}

impl Ready {
    fn watch(app: &App<'_>) -> Result<Self> {
        let times = Arc::<Mutex<BTreeMap<String, u64>>>::default();
        let noted = times.clone();
        let columns = r#"jsonpath={.metadata.name} {.status.conditions[?(@.type=="Ready")].status}{"\n"}"#;
        let line = [
            "-n",
            NAMESPACE,
            "get",
            "pods",
            "-l",
            "app=greeter",
            "--watch",
            "-o",
            columns,
        ];
        let watch = app.kubectl().tool(&line).stream(move |line| {
            if let Some(pod) = became_ready(line) {
                let mut times = noted.lock().unwrap_or_else(PoisonError::into_inner);
                times.entry(pod.to_owned()).or_insert_with(now_ms);
            }
        })?;
        let ready = Self { times, _watch: watch };
        // It begins with those that are there.
        for _ in 0..100 {
            if ready.times().len() >= SERVERS {
                return Ok(ready);
            }
            interrupt::pause(Duration::from_millis(100))?;
        }
        anyhow::bail!(
            "kubectl get pods --watch told of {} servers within 10 s, and there are {SERVERS}",
            ready.times().len()
        )
    }

    fn times(&self) -> BTreeMap<String, u64> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The pod of a line that says it is ready.
fn became_ready(line: &str) -> Option<&str> {
    line.strip_suffix(" True")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_is_ready_counts() {
        assert_eq!(became_ready("greeter-a True"), Some("greeter-a"));
        assert_eq!(became_ready("greeter-a False"), None);
        assert_eq!(became_ready("greeter-a "), None);
    }

    #[test]
    fn who_was_not_called_yet_is_said_to_be_so() {
        assert_eq!(said(&[Some(25), None]), "25 ms, not yet");
    }
}
