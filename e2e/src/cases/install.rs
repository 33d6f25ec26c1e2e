//! Installed by kustomize, and by Helm.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::clock;
use crate::stage::Stage;

use super::app::{App, Asker, Caller, NAMESPACE, SLOWEST_MS};
use super::deaths;
use super::{monitor, process};

/// How long a namespace may take to go, with all that is in it.
const GOING: Duration = Duration::from_secs(90);

/// `kubectl apply -k`: ready on every node, with the privileges it says it has.
pub(super) fn kustomize(stage: &Stage) -> Result<String> {
    let overlay = monitor::overlay(stage);
    let begun = clock::now();
    stage.kubectl().apply_folder(&overlay)?;
    monitor::rolled_out(stage)?;
    let took = begun.elapsed();
    let pods = monitor::one_on_each_node(stage)?;
    let privileges = match stage.own() {
        Some(_) => pods.iter().try_for_each(privileges).map(|()| "without privileges"),
        None => Ok("whose privileges cannot be seen from here"),
    };
    let privileges = privileges?;
    Ok(format!(
        "ready on {} nodes after {:.1} s, {privileges}",
        pods.len(),
        took.as_secs_f64()
    ))
}

/// All given up once it listens: no capability, none to be got again, and its filter beside the runtime's.
fn privileges(pod: &monitor::Pod) -> Result<()> {
    let pid = process::find(&pod.uid, "/obit")?;
    for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        let capabilities = process::status(pid, set)?;
        ensure!(
            capabilities.bytes().all(|digit| digit == b'0'),
            "{}: {set} is {capabilities}",
            pod.name
        );
    }
    for (name, expected) in [("NoNewPrivs", "1"), ("Seccomp", "2")] {
        let value = process::status(pid, name)?;
        ensure!(value == expected, "{}: {name} is {value}, not {expected}", pod.name);
    }
    Ok(())
}

/// Asks for a service that nobody knows: only who watches the API can say so.
const ASKS: Asker<'static> = Asker {
    pod: "asks-with-rights",
    service: "nobody",
    namespace: NAMESPACE,
    words: "nobody.obit-e2e has no EndpointSlice",
};

/// What it is told where the monitor may not watch: the reason, and what it lacks.
const ASKS_WITHOUT_RIGHTS: Asker<'static> = Asker {
    pod: "asks-without-rights",
    words: "the monitor cannot watch EndpointSlices",
    ..ASKS
};

/// Installed by Helm in place of kustomize, at first without rights in the API, a pod deleted, and uninstalled.
pub(super) fn helm(stage: &Stage) -> Result<String> {
    stage.kubectl().delete_folder(&monitor::overlay(stage), GOING)?;
    let chart = stage.deploy().join("helm/obit").to_string_lossy().into_owned();
    let begun = clock::now();
    let seen = installed(stage, &chart);
    let took = begun.elapsed();
    // Also after a failure: the next case installs it by kustomize.
    let away = uninstall(stage);
    let seen = seen?;
    away?;
    Ok(format!("{seen}, installed and tried in {:.0} s", took.as_secs_f64()))
}

fn installed(stage: &Stage, chart: &str) -> Result<String> {
    let release = ["obit", chart, "-n", monitor::NAMESPACE];
    let helm = |command: &[&str], rights: &str| {
        let tool = stage.helm(command).args(release).args(["--set", rights]);
        tool.patience(Duration::from_secs(60)).must()
    };
    helm(&["install", "--create-namespace"], "rbac.create=false")?;
    monitor::rolled_out(stage)?;
    monitor::one_on_each_node(stage)?;
    let app = App::beside(stage)?;
    app.ask(&[ASKS_WITHOUT_RIGHTS], |line, words| line.contains(words))
        .context("without rights in the API")?;
    let begun = clock::now();
    helm(&["upgrade"], "rbac.create=true")?;
    app.ask(&[ASKS], |line, words| line.contains(words))
        .context("with rights in the API")?;
    let heard = begun.elapsed().as_secs_f64();
    let (_, seen) = deaths::force_deleted(&app)?;
    let figures = seen.promise(&[Caller::Obit, Caller::ObitDns], SLOWEST_MS)?;
    Ok(format!(
        "without rights applications were told so, with them endpoints within {heard:.0} s; {figures}"
    ))
}

fn uninstall(stage: &Stage) -> Result<()> {
    let line = ["uninstall", "obit", "-n", monitor::NAMESPACE, "--ignore-not-found"];
    stage.helm(&line).patience(Duration::from_secs(60)).must()?;
    monitor::gone(stage).context("after helm uninstall")?;
    let told = format!("{}s", GOING.as_secs());
    let namespace = [
        "delete",
        "namespace",
        monitor::NAMESPACE,
        "--ignore-not-found",
        "--timeout",
        &told,
    ];
    stage.kubectl().tool(&namespace).patience(GOING).must().map(drop)
}
