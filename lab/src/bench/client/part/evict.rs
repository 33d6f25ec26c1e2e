//! How soon ten thousand calls in flight on an endpoint have ended, once the kernel knows that it is dead.

use rustix::process::Signal;

use super::super::role::Evicted;
use super::super::stage::Stage;
use super::{Part, in_unit, median, signal};
use crate::bench::Outcome;
use crate::bench::run::Scale;
use crate::bench::talk::{go, ready};

/// Calls in flight.
const CALLS: u32 = 10_000;

/// Streams a connection may have: more than there are calls.
const STREAMS: &str = "20000";

/// How long a call takes: longer than any part.
const FOR_EVER_MS: &str = "3600000";

pub(super) async fn measure(stage: &Stage, scale: Scale) -> anyhow::Result<Vec<Outcome>> {
    let place = stage.unreachable();
    let mut deaths: Vec<Evicted> = Vec::new();
    for pair in 0..scale.pairs {
        let mut server = stage
            .serve(place, &["--think-ms", FOR_EVER_MS, "--streams", STREAMS])
            .await?;
        let monitor = stage.monitor().await?;
        let arguments = [
            "evict",
            "--server",
            &stage.address(place).to_string(),
            "--address",
            &stage.client().address.to_string(),
            "--socket",
            &monitor.socket(),
            "--calls",
            &scale.of(CALLS).to_string(),
        ];
        let mut client = ready(stage.role(&arguments)?).await?;
        // An endpoint that dies is on another node, and takes no processor time of the client's when its connection ends.
        signal(&server, Signal::STOP)?;
        let died: Evicted = go(&mut client).await?;
        server.kill().await?;
        monitor.end().await?;
        let told = format!("{:.1} ms", in_unit(died.last_ns, 1e6));
        scale.progress(Part::Evict10k, pair, &told);
        deaths.push(died);
    }
    let in_ms = |of: fn(&Evicted) -> u64| deaths.iter().map(move |died| in_unit(of(died), 1e6));
    let mut last = Part::Evict10k.at_most("last call ended", "ms", in_ms(|died| died.last_ns), 40.0)?;
    last.figures = vec![
        ("verdict_in_hand_ms", median(in_ms(|died| died.told_ns))?),
        ("cpu_ms", median(in_ms(|died| died.cpu_ns))?),
    ];
    let first = Part::Evict10k.at_most("first call ended", "ms", in_ms(|died| died.first_ns), 0.5)?;
    Ok(vec![last, first])
}
