//! How soon the monitor alone, without the library's silence rule, calls two connections to a peer that vanished dead.

use std::net::SocketAddr;

use anyhow::Context as _;

use super::super::role::Vanished;
use super::super::stage::Stage;
use super::{PORT, Part, in_unit, usage};
use crate::bench::run::{Scale, Suite as _};
use crate::bench::spread::percentile;
use crate::bench::talk::{go, ready, start};
use crate::bench::{Outcome, Pairs, Target};

/// How often the peer vanishes in a pair.
const TIMES: u32 = 5;

/// Segments sent again on a connection before it may be called dead.
const SENT_AGAIN: u64 = 2;

pub(super) async fn measure(stage: &Stage, scale: Scale) -> anyhow::Result<Vec<Outcome>> {
    let peer = SocketAddr::from((stage.vanishing().address, PORT)).to_string();
    let _peer = ready(start(stage.vanishing(), &["echo", "--listen", &peer])?).await?;
    let (mut medians, mut usages) = (Vec::new(), Vec::new());
    let (mut slowest, mut hasty) = (0.0_f64, 0);
    for pair in 0..scale.pairs {
        let monitor = stage.monitor().await?;
        let arguments = ["vanish", "--socket", &monitor.socket(), "--peer", &peer];
        let mut client = ready(stage.role(&arguments)?).await?;
        let meter = monitor.meter()?;
        let mut dead_after = Vec::new();
        for _ in 0..scale.of(TIMES) {
            let vanished: Vec<Vanished> = go(&mut client).await?;
            hasty += vanished
                .iter()
                .filter(|it| it.sent_again < SENT_AGAIN * it.dead)
                .count();
            dead_after.extend(vanished.iter().map(|it| it.dead_after_ns));
        }
        usages.push(meter.read()?);
        client.kill().await?;
        monitor.end().await?;
        let of = |share| {
            percentile(&dead_after, share)
                .context("nothing vanished")
                .map(|ns| in_unit(ns, 1e6))
        };
        let median = of(0.5)?;
        scale.progress(Part::Vanish, pair, &format!("{median:.0} ms"));
        medians.push(median);
        slowest = slowest.max(of(1.0)?);
    }
    let mut figures = usage(&usages);
    figures.push(("slowest_ms", slowest));
    Ok(vec![Outcome {
        part: Part::Vanish.name(),
        quantity: "until dead",
        unit: "ms",
        a: None,
        b: Pairs::of(medians).context("nothing vanished")?,
        ratio: None,
        target: Target::AtMost(500.0),
        fault: (hasty > 0)
            .then(|| format!("{hasty} connections were called dead after fewer than two segments sent again")),
        exempt: None,
        remark: None,
        figures,
    }])
}
