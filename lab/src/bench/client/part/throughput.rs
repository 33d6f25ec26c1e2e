//! Calls a second, calls a second of processor time, and the slowest of a hundred calls: through obit's client, and through what
//! it is built on, by turns.

use anyhow::Context as _;

use super::super::role::{Called, Kind};
use super::super::stage::{PODS, Stage};
use super::{Part, in_unit};
use crate::bench::run::{Scale, Suite as _};
use crate::bench::talk::{go, ready};
use crate::bench::{Outcome, Pairs, Target};
use crate::child::LabProcess;

/// Calls that are counted on each side.
const CALLS: u32 = 150_000;

/// Where the first of the pods listens, on loopback.
const FIRST_PORT: u16 = 7_001;

/// What is measured of each side.
struct Quantity {
    name: &'static str,
    unit: &'static str,
    of: fn(&Called) -> f64,
    /// How much better B is than A.
    ratio: fn(a: f64, b: f64) -> f64,
    least: [f64; 2],
}

/// Their targets: beside hyper, and beside tonic.
const QUANTITIES: [Quantity; 3] = [
    Quantity {
        name: "calls",
        unit: "1/s",
        of: |called| called.done.per_second(),
        ratio: |a, b| b / a,
        least: [0.97, 1.0],
    },
    Quantity {
        name: "calls by CPU time",
        unit: "1/s",
        of: |called| called.done.per_cpu_second(),
        ratio: |a, b| b / a,
        least: [0.97, 1.2],
    },
    Quantity {
        name: "p99 of a call",
        unit: "ms",
        of: |called| in_unit(called.p99_ns, 1e6),
        ratio: |a, b| a / b,
        least: [0.97, 1.0],
    },
];

pub(super) async fn measure(part: Part, stage: &Stage, scale: Scale) -> anyhow::Result<Vec<Outcome>> {
    let (sides, column) = match part {
        Part::ThroughputHyper => ([Kind::Hyper, Kind::Obit], 0),
        _ => ([Kind::Tonic, Kind::TonicOnObit], 1),
    };
    let addresses: Vec<_> = (FIRST_PORT..)
        .take(PODS)
        .map(|port| format!("127.0.0.1:{port}"))
        .collect();
    let listen = addresses.iter().flat_map(|address| ["--listen", address]);
    let arguments: Vec<_> = ["serve", "--think-ms", "10"].into_iter().chain(listen).collect();
    let _servers = ready(stage.role(&arguments)?).await?;
    let mut callers: Vec<LabProcess> = Vec::new();
    for side in sides {
        let calls = scale.of(CALLS).to_string();
        let servers = addresses.iter().flat_map(|address| ["--server", address]);
        let arguments = ["call", "--through", side.name(), "--calls", &calls]
            .into_iter()
            .chain(servers);
        callers.push(ready(stage.role(&arguments.collect::<Vec<_>>())?).await?);
    }
    let mut called: [Vec<Called>; 2] = [Vec::new(), Vec::new()];
    for pair in 0..scale.pairs {
        // Which comes first changes, so that what drifts favours neither.
        for side in if pair % 2 == 0 { [0, 1] } else { [1, 0] } {
            called[side].push(go(&mut callers[side]).await?);
        }
        let rate = |side: usize| called[side][pair].done.per_second();
        scale.progress(part, pair, &format!("{:.0} and {:.0} calls/s", rate(0), rate(1)));
    }
    let [a, b] = &called;
    QUANTITIES
        .iter()
        .map(|quantity| outcome(part, quantity, column, a, b))
        .collect()
}

fn outcome(part: Part, quantity: &Quantity, column: usize, a: &[Called], b: &[Called]) -> anyhow::Result<Outcome> {
    let spread = |side: &[Called]| Pairs::of(side.iter().map(quantity.of)).context("a rate is no number");
    let ratios = a
        .iter()
        .zip(b)
        .map(|(a, b)| (quantity.ratio)((quantity.of)(a), (quantity.of)(b)));
    let alone = spread(a)?;
    let p50_ms = |side: &[Called]| super::median(side.iter().map(|called| in_unit(called.p50_ns, 1e6)));
    let figures = match quantity.unit {
        "ms" => vec![("a_p50_ms", p50_ms(a)?), ("b_p50_ms", p50_ms(b)?)],
        _ => Vec::new(),
    };
    let restless = alone.spread.is_restless();
    Ok(Outcome {
        part: part.name(),
        quantity: quantity.name,
        unit: quantity.unit,
        a: Some(alone),
        b: spread(b)?,
        ratio: Some(Pairs::of(ratios).context("a ratio is no number")?),
        target: Target::RatioAtLeast(quantity.least[column]),
        fault: None,
        exempt: None,
        remark: restless.then(|| {
            "this machine was not quiet: A alone varies by more than a tenth, and so do the ratios".to_owned()
        }),
        figures,
    })
}
