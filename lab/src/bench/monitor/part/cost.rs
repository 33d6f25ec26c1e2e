//! What the monitor costs work that has nothing to do with it: the same work without and with it, by turns.

use anyhow::{Context as _, ensure};

use super::super::role::Heard;
use super::super::stage::{Stage, ensure_no_other_monitor};
use super::{PORT, Part, usage};
use crate::bench::daemon::Usage;
use crate::bench::run::{Scale, Suite as _};
use crate::bench::talk::{go, ready, told};
use crate::bench::{Done, Outcome, Pairs, Target};
use crate::child::LabProcess;
use crate::net::block_peer;

/// Connections of a churn.
const CONNECTIONS: u32 = 100_000;

/// Exchanges on established connections.
const EXCHANGES: u32 = 400_000;

/// Peers that are watched beside the one that is worked with.
const OTHERS: u32 = 1_000;

pub(super) async fn measure(part: Part, stage: &Stage, scale: Scale) -> anyhow::Result<Vec<Outcome>> {
    let (role, count) = match part {
        Part::Established => ("exchange", scale.of(EXCHANGES)),
        _ => ("churn", scale.of(CONNECTIONS)),
    };
    let arguments = [
        "--peer",
        &block_peer(0, PORT).to_string(),
        "--count",
        &count.to_string(),
    ];
    let mut work = ready(stage.role(&[&[role], &arguments[..]].concat())?).await?;
    let (mut without, mut with, mut usages) = (Vec::new(), Vec::new(), Vec::new());
    for pair in 0..scale.pairs {
        // Which comes first changes, so that what drifts favours neither.
        for beside_monitor in if pair % 2 == 0 { [false, true] } else { [true, false] } {
            if beside_monitor {
                // The answer takes some heartbeats: where time is short, one pair is asked for all.
                let ask = scale.is_full() || pair == 0;
                let (done, usage) = beside(part, stage, &mut work, scale, ask).await?;
                with.push(done);
                usages.push(usage);
            } else {
                if !scale.is_trial() {
                    ensure_no_other_monitor(None)?;
                }
                let done = warm(&mut work).await?;
                without.push(done);
            }
        }
        let ratio = with[pair].per_second() / without[pair].per_second();
        scale.progress(part, pair, &format!("{ratio:.3}"));
    }
    let per_second =
        |side: &[Done]| Pairs::of(side.iter().map(|done| done.per_second())).context("a rate is no number");
    let ratio = |of: fn(Done) -> f64| {
        let ratios = with
            .iter()
            .zip(&without)
            .map(|(with, without)| of(*with) / of(*without));
        Pairs::of(ratios).context("a ratio is no number")
    };
    let alone = per_second(&without)?;
    let mut figures = usage(&usages);
    figures.push(("ratio_of_cpu_time", ratio(Done::per_cpu_second)?.spread.median));
    let restless = alone.spread.is_restless();
    Ok(vec![Outcome {
        part: part.name(),
        quantity: if role == "churn" { "connections" } else { "exchanges" },
        unit: "1/s",
        a: Some(alone),
        b: per_second(&with)?,
        ratio: Some(ratio(Done::per_second)?),
        target: Target::RatioAtLeast(match part {
            Part::ChurnUnwatched => 0.96,
            Part::ChurnWatched => 0.90,
            _ => 0.99,
        }),
        fault: None,
        exempt: None,
        remark: restless.then(|| {
            "this machine was not quiet: A alone varies by more than a tenth, and so do the ratios; look at \
             ratio_of_cpu_time, or measure again"
                .to_owned()
        }),
        figures,
    }])
}

/// The work, the second time: the first warms up what the start of the other side left cold.
async fn warm(work: &mut LabProcess) -> anyhow::Result<Done> {
    let _: Done = go(work).await?;
    go(work).await
}

/// The same beside a monitor; if asked for, only where the monitor saw of it what it must.
async fn beside(
    part: Part,
    stage: &Stage,
    work: &mut LabProcess,
    scale: Scale,
    ask: bool,
) -> anyhow::Result<(Done, Usage)> {
    let monitor = stage.monitor().await?;
    let watched = part != Part::ChurnUnwatched;
    // The peer that is worked with is the block's first.
    let first = if watched { "0" } else { "1" };
    let (socket, port, others) = (monitor.socket(), PORT.to_string(), OTHERS.to_string());
    let subscriber = ["subscribe", "--socket", &socket, "--port", &port]
        .into_iter()
        .chain(["--first", first, "--each", &others, "--peers", &others])
        .collect::<Vec<_>>();
    let mut subscriber = ready(stage.role(&subscriber)?).await?;
    if !scale.is_trial() {
        ensure_no_other_monitor(Some(monitor.pid()))?;
    }
    let _: Done = go(work).await?;
    let meter = monitor.meter()?;
    let done: Done = go(work).await?;
    let usage = meter.read()?;
    if ask {
        let heard: Heard = told(&mut subscriber, "heard").await?;
        ensure!(
            heard.alive == u64::from(watched),
            "refused: the monitor called {} peers alive, not {}",
            heard.alive,
            u64::from(watched)
        );
    }
    subscriber.kill().await?;
    monitor.end().await?;
    Ok((done, usage))
}
