//! How late an unanswered dial is suspected once its threshold ran out.

use anyhow::{Context as _, ensure};

use super::super::role::Stalled;
use super::super::stage::Stage;
use super::{Part, in_unit, usage};
use crate::bench::run::{Scale, Suite as _};
use crate::bench::spread::percentile;
use crate::bench::talk::{read, ready};
use crate::bench::{Outcome, Pairs, Spread, Target};
use crate::child::LabProcess;

/// Dials that stall in a pair.
const STALLS: u32 = 120;

/// No threshold is shorter, nanoseconds: the monitor's floor.
const FLOOR_NS: u64 = 20_000_000;

/// No threshold is longer, nanoseconds: the monitor's ceiling.
const CEILING_NS: u64 = 250_000_000;

pub(super) async fn measure(stage: &Stage, scale: Scale) -> anyhow::Result<Vec<Outcome>> {
    let stalls = scale.of(STALLS).to_string();
    let peer_address = stage.stalling().address.to_string();
    let (mut worst, mut medians, mut after, mut usages) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for pair in 0..scale.pairs {
        let peers = ["--address", &peer_address, "--ports", &stalls].map(str::to_owned);
        let _peers = ready(LabProcess::start(stage.stalling(), "peer", &peers)?).await?;
        let monitor = stage.monitor().await?;
        let (socket, address) = (monitor.socket(), stage.client().address.to_string());
        let mut arguments = vec![
            "stall",
            "--socket",
            &socket,
            "--address",
            &address,
            "--peer",
            &peer_address,
        ];
        let seed = pair.to_string();
        arguments.extend(["--count", &stalls, "--seed", &seed]);
        let mut dialler = ready(stage.role(&arguments)?).await?;
        let meter = monitor.meter()?;
        let mut stalled: Vec<Stalled> = Vec::new();
        for _ in 0..scale.of(STALLS) {
            stalled.push(read(&mut dialler).await?);
        }
        usages.push(meter.read()?);
        // It has ended by itself.
        dialler.ended().await?;
        monitor.end().await?;
        ensure!(
            stalled.iter().all(|stall| stall.after_ns >= FLOOR_NS),
            "refused: a peer was suspected before any threshold could run out"
        );
        // The moment a threshold ran out is the monitor's word; when it was at the latest is not.
        let threshold = |stall: &Stalled| stall.after_ns.saturating_sub(stall.late_ns);
        ensure!(
            stalled.iter().all(|stall| threshold(stall) <= CEILING_NS),
            "refused: a threshold is said to have run out later than any may"
        );
        let of = |values: fn(&Stalled) -> u64, share| {
            let values: Vec<_> = stalled.iter().map(values).collect();
            percentile(&values, share)
                .context("nothing stalled")
                .map(|ns| in_unit(ns, 1e6))
        };
        let p99 = of(|stall| stall.late_ns, 0.99)?;
        scale.progress(Part::Stall, pair, &format!("p99 {p99:.3} ms"));
        worst.push(p99);
        medians.push(of(|stall| stall.late_ns, 0.5)?);
        after.push(of(|stall| stall.after_ns, 0.5)?);
    }
    let median = |values| {
        Spread::of(values)
            .context("nothing stalled")
            .map(|spread: Spread| spread.median)
    };
    let mut figures = usage(&usages);
    figures.extend([("p50_ms", median(medians)?), ("after_dial_p50_ms", median(after)?)]);
    Ok(vec![Outcome {
        part: Part::Stall.name(),
        quantity: "p99 past threshold",
        unit: "ms",
        a: None,
        b: Pairs::of(worst).context("nothing stalled")?,
        ratio: None,
        target: Target::AtMost(3.0),
        fault: None,
        exempt: None,
        remark: None,
        figures,
    }])
}
