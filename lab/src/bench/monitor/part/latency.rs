//! From a refusal in the kernel to the verdict in a subscriber's hand: on an idle machine, and with every processor kept busy
//! by ordinary threads.

use anyhow::Context as _;

use super::super::role::Mourned;
use super::super::stage::Stage;
use super::{PORT, Part, in_unit, usage};
use crate::bench::run::{Scale, Suite as _};
use crate::bench::spread::percentile;
use crate::bench::talk::{read, ready};
use crate::bench::usage::reader_is_realtime;
use crate::bench::{Outcome, Pairs, Target};
use crate::child::LabProcess;

/// Peers that die in a pair.
const DEATHS: u32 = 300;

pub(super) async fn measure(part: Part, stage: &Stage, scale: Scale) -> anyhow::Result<Vec<Outcome>> {
    let deaths = scale.of(DEATHS);
    let busy = part == Part::LatencyBusy;
    let (mut medians, mut worst, mut usages) = (Vec::new(), Vec::new(), Vec::new());
    let (mut missed, mut ordinary) = (0, false);
    for pair in 0..scale.pairs {
        let monitor = stage.monitor().await?;
        ordinary |= !reader_is_realtime(monitor.pid())?;
        let mut mourner = mourner(stage, &monitor.socket(), deaths, pair, busy && !ordinary).await?;
        // Dropped with this pair, and killed by that.
        let _spinner = match busy {
            true => Some(ready(stage.role(&["spin"])?).await?),
            false => None,
        };
        let meter = monitor.meter()?;
        let mourned = mourn(&mut mourner, deaths).await?;
        usages.push(meter.read()?);
        mourner.kill().await?;
        monitor.end().await?;
        missed += mourned.iter().filter(|death| death.missed).count();
        let late: Vec<_> = mourned.iter().map(|death| death.late_ns).collect();
        let of = |share| {
            percentile(&late, share)
                .context("nobody died")
                .map(|ns| in_unit(ns, 1e3))
        };
        let (p50, p99) = (of(0.5)?, of(0.99)?);
        scale.progress(part, pair, &format!("p50 {p50:.0} us, p99 {p99:.0} us"));
        medians.push(p50);
        worst.push(p99);
    }
    let exempt = (busy && ordinary).then(|| "SCHED_FIFO is refused here: the reader is an ordinary thread".to_owned());
    let p50 = Outcome {
        part: part.name(),
        quantity: "p50",
        unit: "us",
        a: None,
        b: Pairs::of(medians).context("nobody died")?,
        ratio: None,
        target: Target::AtMost(60.0),
        fault: (missed > 0).then(|| format!("{missed} verdicts never came")),
        exempt,
        remark: None,
        figures: usage(&usages),
    };
    let p99 = Outcome {
        quantity: "p99",
        b: Pairs::of(worst).context("nobody died")?,
        target: Target::AtMost(if busy { 1_000.0 } else { 500.0 }),
        figures: vec![],
        ..p50.clone()
    };
    // Under load only the p99 is promised.
    Ok(if busy {
        let figures = [p50.figures, vec![("p50_us", p50.b.spread.median)]].concat();
        vec![Outcome { figures, ..p99 }]
    } else {
        vec![p50, p99]
    })
}

/// A subscriber whose peers die; `before_others` where ordinary threads would keep it waiting.
pub(super) async fn mourner(
    stage: &Stage,
    socket: &str,
    deaths: u32,
    seed: usize,
    before_others: bool,
) -> anyhow::Result<LabProcess> {
    let (deaths, port, seed) = (deaths.to_string(), PORT.to_string(), seed.to_string());
    let mut arguments = vec!["mourn", "--socket", socket, "--port", &port, "--seed", &seed];
    arguments.extend(["--first", "0", "--peers", &deaths]);
    if before_others {
        arguments.push("--before-others");
    }
    ready(stage.role(&arguments)?).await
}

/// Lets so many die.
pub(super) async fn mourn(mourner: &mut LabProcess, deaths: u32) -> anyhow::Result<Vec<Mourned>> {
    mourner.tell(&deaths.to_string()).await?;
    let mut mourned = Vec::new();
    for _ in 0..deaths {
        mourned.push(read(mourner).await?);
    }
    Ok(mourned)
}
