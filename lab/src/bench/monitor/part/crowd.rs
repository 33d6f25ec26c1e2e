//! A full node: ten thousand watched peers, all of them alive, and a thousand subscribers with a hundred of them each.

use anyhow::{Context as _, ensure};

use super::super::role::Heard;
use super::super::stage::Stage;
use super::{PORT, Part, usage};
use crate::bench::run::{Scale, Suite as _};
use crate::bench::talk::{go, ready, told};
use crate::bench::{Done, Outcome, Pairs, Spread, Target};

/// Watched peers.
const PEERS: u32 = 10_000;

/// Subscribers.
const SUBSCRIBERS: u32 = 1_000;

/// Peers each of them watches: each peer is watched by ten.
const EACH: u32 = 100;

pub(super) async fn measure(stage: &Stage, scale: Scale) -> anyhow::Result<Vec<Outcome>> {
    let (peers, subscribers) = (scale.of(PEERS), scale.of(SUBSCRIBERS));
    let (peers_text, port) = (peers.to_string(), PORT.to_string());
    let mut greeter = ready(stage.role(&["greet", "--peers", &peers_text, "--port", &port])?).await?;
    let (mut usages, mut at_rest) = (Vec::new(), Vec::new());
    for pair in 0..scale.pairs {
        let monitor = stage.monitor().await?;
        let subscriber = stage.role(&[
            "subscribe",
            "--socket",
            &monitor.socket(),
            "--sessions",
            &subscribers.to_string(),
            "--each",
            &EACH.to_string(),
            "--peers",
            &peers_text,
            "--port",
            &port,
        ])?;
        let mut subscriber = ready(subscriber).await?;
        let meter = monitor.meter()?;
        let _: Done = go(&mut greeter).await?;
        let heard: Heard = told(&mut subscriber, "heard").await?;
        let usage = meter.read()?;
        let watched = u64::from(peers.min(subscribers * EACH));
        ensure!(
            heard.alive == watched,
            "refused: of {watched} peers the monitor called {} alive",
            heard.alive
        );
        // Only heartbeats are left to do.
        let meter = monitor.meter()?;
        let _: Heard = told(&mut subscriber, "heard").await?;
        at_rest.push(meter.read()?.cpu_percent);
        scale.progress(Part::Watched10k, pair, &format!("{:.1} MiB", usage.rss_mib));
        usages.push(usage);
        subscriber.kill().await?;
        monitor.end().await?;
    }
    let rss = Pairs::of(usages.iter().map(|usage| usage.rss_mib)).context("no memory was measured")?;
    let at_rest = Spread::of(at_rest).context("no processor time was measured")?;
    let mut figures = usage(&usages);
    figures.retain(|(name, _)| *name != "monitor_rss_mib");
    figures.push(("monitor_cpu_at_rest_percent", at_rest.median));
    Ok(vec![Outcome {
        part: Part::Watched10k.name(),
        quantity: "monitor RSS",
        unit: "MiB",
        a: None,
        b: rss,
        ratio: None,
        target: Target::AtMost(64.0),
        fault: None,
        exempt: None,
        remark: None,
        figures,
    }])
}
