//! Pods that live and do not look like it: whether one of them is taken for dead.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use rustix::process::Signal;

use super::super::role::Doubted;
use super::super::stage::Stage;
use super::super::throttle::Throttle;
use super::{Part, in_unit, median, signal};
use crate::bench::Outcome;
use crate::bench::run::Scale;
use crate::bench::talk::{GO, ready, told};
use crate::child::LabProcess;

/// Connections to each kind of pod.
const EACH: u32 = 250;

/// How long they are watched, seconds: with four kinds, 10 000 connection-seconds.
const SECONDS: u32 = 10;

/// How much of a processor one kind gets, percent.
const SHARE: u32 = 4;

/// How long another is stopped at a time, and how long it runs then.
const STOPPED: Duration = Duration::from_secs(3);
const RUNNING: Duration = Duration::from_millis(500);

/// What ails each kind, and where it listens, on every address.
const KINDS: [(&str, &[&str]); 4] = [
    ("7031", &[]),
    ("7032", &[]),
    ("7033", &["--think-ms", "500"]),
    ("7034", &["--mute"]),
];

/// Which of them is throttled, and which is stopped.
const THROTTLED: usize = 0;
const HALTED: usize = 1;

pub(super) async fn measure(stage: &Stage, scale: Scale) -> anyhow::Result<Vec<Outcome>> {
    let (each, seconds) = (scale.of(EACH), if scale.is_full() { SECONDS } else { 4 });
    let mut doubted: Vec<Doubted> = Vec::new();
    let mut unthrottled = None;
    for pair in 0..scale.pairs {
        // Dropped after the process in it.
        let throttle = Throttle::of(SHARE)
            .map_err(|error| unthrottled = Some(format!("{error:#}")))
            .ok();
        let mut pods = Vec::new();
        for (port, options) in KINDS {
            let listen = format!("0.0.0.0:{port}");
            let arguments = [&["serve", "--listen", &listen], options].concat();
            pods.push(ready(stage.role(&arguments)?).await?);
        }
        let monitor = stage.monitor().await?;
        let (each, socket) = (each.to_string(), monitor.socket());
        let ports = KINDS.iter().flat_map(|(port, _)| ["--port", port]);
        let arguments = ["patience", "--each", &each, "--socket", &socket]
            .into_iter()
            .chain(ports);
        let mut client = ready(stage.role(&arguments.collect::<Vec<_>>())?).await?;
        if let Some(throttle) = &throttle {
            throttle.take(pods[THROTTLED].pid().context("a pod ended")?)?;
        }
        client.tell(GO).await?;
        tokio::select! {
            stopped = stop_and_go(&pods[HALTED]) => stopped?,
            () = tokio::time::sleep(Duration::from_secs(seconds.into())) => {}
        }
        let one: Doubted = told(&mut client, "stop").await?;
        if let Some(throttle) = &throttle {
            ensure!(throttle.throttled_periods()? > 0, "refused: no pod was throttled");
        }
        for pod in &mut pods {
            pod.kill().await?;
        }
        monitor.end().await?;
        let said = format!(
            "{} dead, {} suspected, {} calls answered",
            one.dead, one.suspect, one.answered
        );
        scale.progress(Part::FalseDeath, pair, &said);
        doubted.push(one);
    }
    let deaths: Vec<_> = doubted.iter().map(|it| it.dead).collect();
    let first = doubted.iter().find_map(|it| it.first.as_deref());
    let mut outcome = Part::FalseDeath.never("living called dead", "deaths", &deaths, first)?;
    let counts = |of: fn(&Doubted) -> u64| median(doubted.iter().map(|it| in_unit(of(it), 1.0)));
    outcome.figures = vec![
        (
            "connection_seconds",
            f64::from(each * seconds) * in_unit(KINDS.len() as u64, 1.0),
        ),
        ("suspected", counts(|it| it.suspect)?),
        ("connections_ended", counts(|it| it.ended)?),
        ("calls_answered", counts(|it| it.answered)?),
    ];
    outcome.exempt = unthrottled.map(|why| format!("no pod was throttled: {why}"));
    Ok(vec![outcome])
}

/// Stops a process and lets it go on, again and again.
async fn stop_and_go(pod: &LabProcess) -> anyhow::Result<()> {
    loop {
        for (what, pause) in [(Signal::STOP, STOPPED), (Signal::CONT, RUNNING)] {
            signal(pod, what)?;
            tokio::time::sleep(pause).await;
        }
    }
}
