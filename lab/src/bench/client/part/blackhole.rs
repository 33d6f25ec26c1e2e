//! How soon a pod that vanishes under calls is suspected, and dead: with a monitor (B), and by the client alone (A).

use anyhow::Context as _;

use super::super::role::{CUT, Lost};
use super::super::stage::Stage;
use super::{Part, in_unit};
use crate::bench::run::{Scale, Suite as _};
use crate::bench::talk::{read, ready};
use crate::bench::{Outcome, Pairs, Target};
use crate::child::LabProcess;
use crate::net::{Prepared, silence, undisturbed};

/// Calls a second to the pod that vanishes, and what its figures are called.
const RATES: [(u32, [&str; 2]); 3] = [
    (1, ["suspect_at_1_ms", "dead_at_1_ms"]),
    (10, ["suspect_at_10_ms", "dead_at_10_ms"]),
    (100, ["suspect_at_100_ms", "dead_at_100_ms"]),
];

/// The pod that vanishes.
const VICTIM: usize = 0;

/// Pods that stay.
const OTHERS: [usize; 2] = [1, 2];

/// A and B: what became of the pod at each rate, once a pair.
type Sides = [[Vec<Lost>; RATES.len()]; 2];

pub(super) async fn measure(stage: &Stage, scale: Scale) -> anyhow::Result<Vec<Outcome>> {
    let mut pods = Vec::new();
    for place in [&[VICTIM][..], &OTHERS].concat() {
        pods.push(stage.serve(place, &[]).await?);
    }
    let mut sides = Sides::default();
    for pair in 0..scale.pairs {
        for side in if pair % 2 == 0 { [0, 1] } else { [1, 0] } {
            let monitor = match side {
                0 => None,
                _ => Some(stage.monitor().await?),
            };
            let mut client = client(stage, monitor.as_ref().map(|it| it.socket())).await?;
            for (number, (rate, _)) in RATES.into_iter().enumerate() {
                sides[side][number].push(lose(stage, &mut client, rate).await?);
            }
            client.kill().await?;
            if let Some(monitor) = monitor {
                monitor.end().await?;
            }
        }
        let dead = |side: usize| sides[side].iter().map(|lost| in_unit(lost[pair].dead_ns, 1e6));
        let (alone, with): (Vec<_>, Vec<_>) = (dead(0).collect(), dead(1).collect());
        scale.progress(
            Part::Blackhole,
            pair,
            &format!("dead after {with:.0?} ms, {alone:.0?} alone"),
        );
    }
    Ok(vec![
        outcome("until suspect", 0, &sides, |lost| lost.suspect_ns, 70.0)?,
        outcome("until dead", 1, &sides, |lost| lost.dead_ns, 100.0)?,
    ])
}

async fn client(stage: &Stage, socket: Option<String>) -> anyhow::Result<LabProcess> {
    let (victim, name) = (stage.address(VICTIM).to_string(), &stage.pod(VICTIM).role);
    let mut arguments = ["blackhole", "--victim", &victim, "--name", name]
        .map(str::to_owned)
        .to_vec();
    for place in OTHERS {
        arguments.extend(["--other".to_owned(), stage.address(place).to_string()]);
    }
    if let Some(socket) = socket {
        arguments.extend(["--socket".to_owned(), socket]);
    }
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    ready(stage.role(&arguments)?).await
}

/// Lets the pod vanish once, under so many calls a second, and brings it back.
async fn lose(stage: &Stage, client: &mut LabProcess, rate: u32) -> anyhow::Result<Lost> {
    // nft waits inside the namespace before its time comes.
    let vanishing = Prepared::new(&stage.pod(VICTIM).namespace, silence())?;
    client.tell(&rate.to_string()).await?;
    client.expect(CUT).await?;
    vanishing.commit().await?;
    let lost = read(client).await;
    stage.pod(VICTIM).apply(&undisturbed())?;
    lost
}

/// The row is the rate with the worst median.
fn outcome(
    quantity: &'static str,
    column: usize,
    sides: &Sides,
    of: fn(&Lost) -> u64,
    most: f64,
) -> anyhow::Result<Outcome> {
    let spreads = |side: usize| {
        let rates = sides[side].iter();
        let rates = rates.map(|lost| Pairs::of(lost.iter().map(|it| in_unit(of(it), 1e6))).context("nothing vanished"));
        rates.collect::<anyhow::Result<Vec<_>>>()
    };
    let worst = |rates: &[Pairs]| {
        let rates = rates.iter();
        rates
            .max_by(|one, other| one.spread.median.total_cmp(&other.spread.median))
            .cloned()
            .context("no rate")
    };
    let (alone, with) = (spreads(0)?, spreads(1)?);
    let mut figures: Vec<_> = RATES
        .iter()
        .zip(&with)
        .map(|((_, names), rate)| (names[column], rate.spread.median))
        .collect();
    figures.push((
        "slowest_ms",
        with.iter().map(|rate| rate.spread.max).fold(0.0, f64::max),
    ));
    figures.push((
        "slowest_alone_ms",
        alone.iter().map(|rate| rate.spread.max).fold(0.0, f64::max),
    ));
    let with_monitor = || sides[1].iter().flatten();
    let failed: u64 = sides.iter().flatten().flatten().map(|lost| lost.failed).sum();
    let unsuspected = with_monitor().filter(|lost| !lost.suspected).count();
    Ok(Outcome {
        part: Part::Blackhole.name(),
        quantity,
        unit: "ms",
        a: Some(worst(&alone)?),
        b: worst(&with)?,
        ratio: None,
        target: Target::AtMost(most),
        fault: (failed > 0).then(|| format!("{failed} idempotent calls failed")),
        exempt: None,
        remark: (column == 0 && unsuspected > 0).then(|| {
            let all = with_monitor().count();
            format!("with a monitor {unsuspected} of {all} were dead without having been suspected")
        }),
        figures,
    })
}
