//! What becomes of calls when pods and monitors come and go: callers that never stop, and one thing after another that happens to
//! whom they call.

use std::time::Duration;

use anyhow::ensure;

use super::super::role::Loaded;
use super::super::role::serve::DRAIN;
use super::super::stage::{PODS, Stage};
use super::{Part, in_unit, median};
use crate::bench::Outcome;
use crate::bench::daemon::Monitor;
use crate::bench::run::Scale;
use crate::bench::talk::{GO, ready, told};
use crate::child::LabProcess;
use crate::clock::monotonic_ns;

/// Callers.
const CALLERS: u32 = 500;

/// How long a call takes.
const THINK: [&str; 2] = ["--think-ms", "10"];

/// After how many calls a server sends its client away.
const GOAWAY_AFTER: [&str; 2] = ["--goaway-after", "100"];

/// How long nothing happens.
fn beat(scale: Scale) -> Duration {
    Duration::from_millis(scale.of(1_000).max(200).into())
}

/// Pods under load, and the monitor of their client.
struct Act {
    pods: Vec<LabProcess>,
    monitor: Option<Monitor>,
    callers: LabProcess,
}

impl Act {
    /// Pods on the first places, and callers who have begun.
    async fn begin(
        stage: &Stage,
        scale: Scale,
        pods: &[&str],
        monitor: bool,
        callers: &[&str],
    ) -> anyhow::Result<Self> {
        let mut running = Vec::new();
        for place in 0..PODS {
            running.push(stage.serve(place, &[&THINK, pods].concat()).await?);
        }
        let monitor = match monitor {
            true => Some(stage.monitor().await?),
            false => None,
        };
        let mut arguments = vec!["load".to_owned(), "--callers".to_owned(), scale.of(CALLERS).to_string()];
        for place in 0..PODS {
            arguments.extend(["--server".to_owned(), stage.address(place).to_string()]);
        }
        if let Some(monitor) = &monitor {
            arguments.extend(["--socket".to_owned(), monitor.socket()]);
        }
        let arguments: Vec<_> = arguments
            .iter()
            .map(String::as_str)
            .chain(callers.iter().copied())
            .collect();
        let mut callers = ready(stage.role(&arguments)?).await?;
        callers.tell(GO).await?;
        tokio::time::sleep(beat(scale)).await;
        Ok(Self {
            pods: running,
            monitor,
            callers,
        })
    }

    /// Tells the callers where their pods are from now on.
    async fn name(&mut self, stage: &Stage, places: &[usize]) -> anyhow::Result<()> {
        let addresses = places.iter().map(|place| format!(" {}", stage.address(*place)));
        self.callers
            .tell(&format!("endpoints{}", addresses.collect::<String>()))
            .await
    }

    /// Ends the calls, and everything else.
    async fn end(mut self) -> anyhow::Result<Loaded> {
        let loaded: Loaded = told(&mut self.callers, "stop").await?;
        ensure!(loaded.answered > 0, "no call was answered: {:?}", loaded.failure);
        for mut pod in self.pods {
            pod.kill().await?;
        }
        if let Some(monitor) = self.monitor {
            monitor.end().await?;
        }
        Ok(loaded)
    }
}

/// One of five pods is killed.
pub(super) async fn golem(stage: &Stage, scale: Scale) -> anyhow::Result<Vec<Outcome>> {
    let part = Part::Golem;
    let mut runs = Vec::new();
    for pair in 0..scale.pairs {
        let mut act = Act::begin(stage, scale, &[], true, &[]).await?;
        let mut victim = act.pods.swap_remove(pair % PODS);
        victim.kill().await?;
        tokio::time::sleep(beat(scale)).await;
        runs.push(said(part, scale, pair, act.end().await?));
    }
    let slowest = runs.iter().map(|run| in_unit(run.slowest_ns, 1e6));
    Ok(vec![
        part.at_most("slowest call", "ms", slowest, 1_000.0)?,
        failed(part, &runs)?,
    ])
}

/// All pods are replaced one by one, by others with other addresses.
pub(super) async fn rolling(stage: &Stage, scale: Scale) -> anyhow::Result<Vec<Outcome>> {
    let part = Part::Rolling;
    let mut runs = Vec::new();
    for pair in 0..scale.pairs {
        let mut act = Act::begin(stage, scale, &[], true, &[]).await?;
        let mut places: Vec<_> = (0..PODS).collect();
        for number in 0..PODS {
            let new = PODS + number;
            let successor = stage.serve(new, &THINK).await?;
            places[number] = new;
            let mut old = std::mem::replace(&mut act.pods[number], successor);
            // As Kubernetes does it, everybody is told at once, and whoever kills tells nobody before.
            if number % 2 == 0 {
                act.name(stage, &places).await?;
                old.tell(DRAIN).await?;
                let status = old.ended().await?;
                ensure!(status.success(), "a pod that drained ended with {status}");
            } else {
                old.kill().await?;
                tokio::time::sleep(beat(scale) / 10).await;
                act.name(stage, &places).await?;
            }
            tokio::time::sleep(beat(scale) / 4).await;
        }
        runs.push(said(part, scale, pair, act.end().await?));
    }
    let mut outcome = failed(part, &runs)?;
    outcome.figures = vec![slowest(&runs)?];
    Ok(vec![outcome])
}

/// All pods die, and come back one after the other.
pub(super) async fn all_dead(stage: &Stage, scale: Scale) -> anyhow::Result<Vec<Outcome>> {
    let part = Part::AllDead;
    let (mut runs, mut waits) = (Vec::new(), Vec::new());
    for pair in 0..scale.pairs {
        let mut act = Act::begin(stage, scale, &[], true, &[]).await?;
        for pod in &mut act.pods {
            pod.kill().await?;
        }
        tokio::time::sleep(2 * beat(scale)).await;
        act.pods[0] = stage.serve(0, &THINK).await?;
        let back_ns = monotonic_ns();
        for place in 1..PODS {
            act.pods[place] = stage.serve(place, &THINK).await?;
        }
        tokio::time::sleep(2 * beat(scale)).await;
        let run = act.end().await?;
        let gone_ns = back_ns.saturating_sub(run.gap_until_ns.saturating_sub(run.gap_ns));
        ensure!(
            run.gap_ns >= gone_ns && gone_ns > 0,
            "calls were answered while all pods were dead: {run:?}"
        );
        waits.push(in_unit(run.gap_until_ns.saturating_sub(back_ns), 1e6));
        runs.push(said(part, scale, pair, run));
    }
    let mut outcome = part.at_most("until a call is answered", "ms", waits, 1_000.0)?;
    outcome.figures = vec![("failed_calls", median(runs.iter().map(|run| in_unit(run.failed, 1.0)))?)];
    let failure = runs.iter().find_map(|run| run.failure.as_deref());
    outcome.remark = failure.map(|failure| format!("the first call that failed: {failure}"));
    Ok(vec![outcome])
}

/// The monitor is killed.
pub(super) async fn monitor_dies(stage: &Stage, scale: Scale) -> anyhow::Result<Vec<Outcome>> {
    let part = Part::MonitorDies;
    let mut runs = Vec::new();
    for pair in 0..scale.pairs {
        let mut act = Act::begin(stage, scale, &[], true, &["--not-idempotent"]).await?;
        if let Some(monitor) = act.monitor.take() {
            monitor.end().await?;
        }
        tokio::time::sleep(beat(scale)).await;
        runs.push(said(part, scale, pair, act.end().await?));
    }
    let mut outcome = failed(part, &runs)?;
    outcome.figures = vec![slowest(&runs)?];
    Ok(vec![outcome])
}

/// Every server sends its client away all the time.
pub(super) async fn goaway(stage: &Stage, scale: Scale) -> anyhow::Result<Vec<Outcome>> {
    let part = Part::Goaway;
    let mut runs = Vec::new();
    for pair in 0..scale.pairs {
        let act = Act::begin(stage, scale, &GOAWAY_AFTER, false, &["--not-idempotent"]).await?;
        tokio::time::sleep(beat(scale)).await;
        runs.push(said(part, scale, pair, act.end().await?));
    }
    let mut outcome = failed(part, &runs)?;
    let answered = median(runs.iter().map(|run| in_unit(run.answered, 1.0)))?;
    outcome.figures = vec![slowest(&runs)?, ("calls_answered", answered)];
    Ok(vec![outcome])
}

fn said(part: Part, scale: Scale, pair: usize, run: Loaded) -> Loaded {
    let slowest_ms = in_unit(run.slowest_ns, 1e6);
    let told = format!(
        "{} answered, {} failed, slowest {slowest_ms:.0} ms",
        run.answered, run.failed
    );
    scale.progress(part, pair, &told);
    run
}

fn failed(part: Part, runs: &[Loaded]) -> anyhow::Result<Outcome> {
    let counts: Vec<_> = runs.iter().map(|run| run.failed).collect();
    part.never(
        "failed calls",
        "calls",
        &counts,
        runs.iter().find_map(|run| run.failure.as_deref()),
    )
}

fn slowest(runs: &[Loaded]) -> anyhow::Result<(&'static str, f64)> {
    Ok((
        "slowest_call_ms",
        median(runs.iter().map(|run| in_unit(run.slowest_ns, 1e6)))?,
    ))
}
