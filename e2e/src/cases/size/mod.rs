//! What the monitor takes where there is much: five thousand EndpointSlices of ten endpoints in the API, and a node full of pods.

mod pods;
mod slices;

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::clock;
use crate::interrupt;
use crate::stage::Stage;

use super::{monitor, process};
use pods::PODS;
use slices::SLICES;

/// The namespace of what is only there to be much.
const NAMESPACE: &str = "obit-e2e-much";

/// What it may take, MiB, and of one core, percent.
const MOST_MIB: f64 = 64.0;
const MOST_PERCENT: f64 = 1.0;

/// How long it is idle while its processor time is measured.
const IDLE: Duration = Duration::from_secs(20);

/// How long all of it may take to go.
const GOING: Duration = Duration::from_secs(180);

/// Looks at the monitor, makes them, looks again, and takes them away.
pub(super) fn size(stage: &Stage) -> Result<String> {
    monitor::ensure(stage)?;
    let before = resident_mib(stage)?;
    let seen = make(stage).and_then(|took| Ok((took, measure(stage)?)));
    let away = ["delete", "namespace", NAMESPACE, "--ignore-not-found", "--timeout=180s"];
    let away = stage
        .kubectl()
        .tool(&away)
        .patience(GOING + Duration::from_secs(10))
        .must();
    let (took, seen) = seen?;
    away?;
    Ok(format!(
        "{seen}; before {before:.1} MiB; {SLICES} slices and {PODS} pods made in {:.0} s",
        took.as_secs_f64()
    ))
}

fn make(stage: &Stage) -> Result<Duration> {
    let begun = clock::now();
    let namespace = format!("{{apiVersion: v1, kind: Namespace, metadata: {{name: {NAMESPACE}}}}}");
    stage.kubectl().apply(&namespace)?;
    let node = stage.nodes()?.into_iter().min().context("a cluster without nodes")?;
    pods::fill(stage, &node)?;
    slices::make(stage)?;
    Ok(begun.elapsed())
}

/// Each monitor's process.
fn processes(stage: &Stage) -> Result<Vec<u32>> {
    let pods = monitor::one_on_each_node(stage)?;
    pods.iter().map(|pod| process::find(&pod.uid, "/obit")).collect()
}

/// The memory of the worst monitor.
fn resident_mib(stage: &Stage) -> Result<f64> {
    let each = processes(stage)?.into_iter().map(process::resident);
    let worst = each.collect::<Result<Vec<_>>>()?.into_iter().max().unwrap_or_default();
    Ok(f64::from(u32::try_from(worst / 1_024)?) / 1_024.0)
}

/// The worst monitor: its memory once it has heard of all, and its processor time while nothing happens.
fn measure(stage: &Stage) -> Result<String> {
    let pids = processes(stage)?;
    // What was made last has arrived, and kubelets and controllers rest.
    interrupt::pause(Duration::from_secs(5))?;
    let ticks = || pids.iter().map(|pid| process::ticks(*pid)).collect::<Result<Vec<_>>>();
    let before = ticks()?;
    let begun = clock::now();
    interrupt::pause(IDLE)?;
    let seconds = begun.elapsed().as_secs_f64();
    let spent = ticks()?.into_iter().zip(before).map(|(after, before)| after - before);
    let percent = f64::from(u32::try_from(spent.max().unwrap_or_default())?) / seconds;
    let mib = resident_mib(stage)?;
    let said = format!("{mib:.1} MiB resident, {percent:.2} % of a core when idle");
    ensure!(
        mib <= MOST_MIB && percent <= MOST_PERCENT,
        "{said}: at most {MOST_MIB} MiB and {MOST_PERCENT} % are allowed"
    );
    Ok(said)
}
