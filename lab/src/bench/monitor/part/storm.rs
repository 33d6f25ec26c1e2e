//! A storm of refused dials to watched peers: is every one of them told of or counted as lost, and does the verdict on another
//! peer wait behind them?

use anyhow::{Context as _, ensure};

use super::super::role::Heard;
use super::super::stage::Stage;
use super::latency::{mourn, mourner};
use super::{Part, in_unit, usage};
use crate::bench::daemon::Usage;
use crate::bench::run::{Scale, Suite as _};
use crate::bench::spread::percentile;
use crate::bench::talk::{GO, go, ready, told};
use crate::bench::usage::reader_is_realtime;
use crate::bench::{Done, Outcome, Pairs, Target};
use crate::child::LabProcess;

/// Dials a second that are asked for: each is two sightings, its beginning and its refusal.
const DIALS_A_SECOND: &str = "25000";

/// What is promised, sightings a second.
const PROMISED: f64 = 50_000.0;

/// Peers that refuse again and again while others die.
const AGAIN: Refusing = Refusing {
    peers: 256,
    port: 7_001,
};

/// Peers that refuse once each: as many verdicts are owed. As many as one subscriber may watch, and a round number.
const ONCE: Refusing = Refusing {
    peers: 16_000,
    port: 7_002,
};

/// Other peers that die meanwhile.
const DEATHS: u32 = 200;

/// Peers where nobody listens, and their watching subscriber.
#[derive(Debug, Clone, Copy)]
struct Refusing {
    peers: u32,
    port: u16,
}

impl Refusing {
    async fn subscriber(self, stage: &Stage, socket: &str) -> anyhow::Result<LabProcess> {
        let (peers, port) = (self.peers.to_string(), self.port.to_string());
        let arguments = [
            "subscribe",
            "--socket",
            socket,
            "--each",
            &peers,
            "--peers",
            &peers,
            "--port",
            &port,
        ];
        ready(stage.role(&arguments)?).await
    }

    async fn storm(self, stage: &Stage, once: bool) -> anyhow::Result<LabProcess> {
        let (peers, port) = (self.peers.to_string(), self.port.to_string());
        let mut arguments = vec!["storm", "--rate", DIALS_A_SECOND, "--threads", "2", "--first", "0"];
        arguments.extend(["--peers", &peers, "--port", &port]);
        if once {
            arguments.push("--once");
        }
        ready(stage.role(&arguments)?).await
    }
}

/// What one pair shows.
#[derive(Debug)]
struct Weathered {
    p99_ms: f64,
    missed: usize,
    sightings_per_second: f64,
    /// The same while each peer refused once.
    once_per_second: f64,
    lost: u64,
    /// Of that, while each peer refused once.
    lost_once: u64,
    uncounted: u64,
    realtime: bool,
    usage: Usage,
}

pub(super) async fn measure(stage: &Stage, scale: Scale) -> anyhow::Result<Vec<Outcome>> {
    let mut pairs = Vec::new();
    for pair in 0..scale.pairs {
        let weathered = weather(stage, scale, pair).await?;
        let said = format!(
            "p99 {:.3} ms beside {:.0} sightings a second, {} lost, {} of them uncounted",
            weathered.p99_ms, weathered.sightings_per_second, weathered.lost, weathered.uncounted
        );
        scale.progress(Part::Storm, pair, &said);
        pairs.push(weathered);
    }
    outcomes(&pairs)
}

async fn weather(stage: &Stage, scale: Scale, pair: usize) -> anyhow::Result<Weathered> {
    let deaths = scale.of(DEATHS);
    let monitor = stage.monitor().await?;
    let socket = monitor.socket();
    let realtime = reader_is_realtime(monitor.pid())?;
    let mut subscriber = AGAIN.subscriber(stage, &socket).await?;
    let mut storm = AGAIN.storm(stage, false).await?;
    let mut mourner = mourner(stage, &socket, deaths, pair, realtime).await?;
    let meter = monitor.meter()?;
    storm.tell(GO).await?;
    let mourned = mourn(&mut mourner, deaths).await?;
    let done: Done = told(&mut storm, "enough").await?;
    let usage = meter.read()?;
    mourner.kill().await?;
    let before: Heard = told(&mut subscriber, "heard").await?;
    ensure!(before.dead > 0, "refused: the monitor saw nothing of the storm");
    subscriber.kill().await?;

    let Refusing { peers, .. } = ONCE;
    let mut subscriber = ONCE.subscriber(stage, &socket).await?;
    let once: Done = go(&mut ONCE.storm(stage, true).await?).await?;
    ensure!(
        once.count == u64::from(peers),
        "refused: {} dials, not {peers}",
        once.count
    );
    let after: Heard = told(&mut subscriber, "heard").await?;
    subscriber.kill().await?;
    monitor.end().await?;
    let lost_once = after.lost - before.lost;
    let late: Vec<_> = mourned.iter().map(|death| death.late_ns).collect();
    Ok(Weathered {
        p99_ms: in_unit(percentile(&late, 0.99).context("nobody died")?, 1e6),
        missed: mourned.iter().filter(|death| death.missed).count(),
        sightings_per_second: 2.0 * done.per_second(),
        once_per_second: 2.0 * once.per_second(),
        lost: after.lost,
        lost_once,
        uncounted: once.count.saturating_sub(after.dead + lost_once),
        realtime,
        usage,
    })
}

fn outcomes(pairs: &[Weathered]) -> anyhow::Result<Vec<Outcome>> {
    let spread = |of: fn(&Weathered) -> f64| Pairs::of(pairs.iter().map(of)).context("no pairs");
    let rates = spread(|it| it.sightings_per_second)?;
    let lost = spread(|it| in_unit(it.lost, 1.0))?;
    let uncounted = spread(|it| in_unit(it.uncounted, 1.0))?;
    let missed: usize = pairs.iter().map(|it| it.missed).sum();
    let usages: Vec<_> = pairs.iter().map(|it| it.usage).collect();
    let mut figures = usage(&usages);
    let once = spread(|it| it.once_per_second)?;
    figures.extend([
        ("sightings_per_second", rates.spread.median),
        ("sightings_lost", lost.spread.median),
    ]);
    let ordinary = pairs.iter().any(|pair| !pair.realtime);
    // Each dial is two sightings, and a loss does not say which.
    let lost_once = pairs.iter().any(|pair| pair.lost_once > 0);
    let lost_once = lost_once.then(|| "sightings were lost meanwhile: there may be more".to_owned());
    let short = (rates.spread.median < 0.95 * PROMISED).then(|| {
        format!(
            "this machine reaches {:.0} sightings a second, not {PROMISED:.0}",
            rates.spread.median
        )
    });
    let delay = Outcome {
        part: Part::Storm.name(),
        quantity: "p99 of others",
        unit: "ms",
        a: None,
        b: spread(|it| it.p99_ms)?,
        ratio: None,
        target: Target::AtMost(5.0),
        fault: (missed > 0).then(|| format!("{missed} verdicts never came")),
        exempt: ordinary.then(|| "SCHED_FIFO is refused here: the reader is an ordinary thread".to_owned()),
        remark: short,
        figures,
    };
    let uncounted = Outcome {
        quantity: "lost uncounted",
        unit: "sightings",
        target: Target::AtMost(0.0),
        fault: (uncounted.spread.max > 0.0)
            .then(|| "in some pairs a refusal was neither told nor counted as lost".to_owned()),
        b: uncounted,
        exempt: None,
        remark: lost_once,
        figures: vec![("sightings_per_second", once.spread.median)],
        ..delay.clone()
    };
    Ok(vec![delay, uncounted])
}
