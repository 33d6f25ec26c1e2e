//! Thousands of graceful shutdowns at random moments, under calls of which every second one may not be repeated.

use super::super::role::{JOURNAL, Left, Outlasted};
use super::super::stage::Stage;
use super::{Part, in_unit, median};
use crate::bench::Outcome;
use crate::bench::run::Scale;
use crate::bench::talk::{go, ready, told};

/// Where the first of the servers listens, on loopback.
const FIRST_PORT: u16 = 7_041;

/// Servers: two for each way of leaving.
const SERVERS: usize = 6;

/// Connections to each.
const CONNECTIONS: &str = "2";

/// Callers.
const CALLERS: u32 = 200;

/// How long a connection lives at most, milliseconds.
const LIFE_MS: &str = "20";

/// How long a pair takes, milliseconds.
const PAIR_MS: u32 = 3_000;

pub(super) async fn measure(stage: &Stage, scale: Scale) -> anyhow::Result<Vec<Outcome>> {
    let part = Part::Shutdowns;
    let mut runs: Vec<(Left, Outlasted)> = Vec::new();
    for pair in 0..scale.pairs {
        let (left, outlasted) = run(stage, scale, pair).await?;
        let said = format!(
            "{} shutdowns, {} answered, {} failed, {} hung, {} processed twice",
            left.shutdowns, outlasted.answered, outlasted.failed, outlasted.hung, left.twice
        );
        scale.progress(part, pair, &said);
        runs.push((left, outlasted));
    }
    let counts = |of: fn(&(Left, Outlasted)) -> u64| runs.iter().map(of).collect::<Vec<_>>();
    let failure = runs.iter().find_map(|(_, outlasted)| outlasted.failure.as_deref());
    let middle = |of: fn(&(Left, Outlasted)) -> u64| median(runs.iter().map(|run| in_unit(of(run), 1.0)));
    let mut twice = part.never("processed twice", "calls", &counts(|(left, _)| left.twice), None)?;
    twice.figures = vec![
        ("shutdowns", middle(|(left, _)| left.shutdowns)?),
        ("calls_answered", middle(|(_, outlasted)| outlasted.answered)?),
    ];
    Ok(vec![
        twice,
        part.never(
            "failed calls",
            "calls",
            &counts(|(_, outlasted)| outlasted.failed),
            failure,
        )?,
        part.never("hung calls", "calls", &counts(|(_, outlasted)| outlasted.hung), None)?,
    ])
}

/// Fresh servers with an empty journal, and a fresh client.
async fn run(stage: &Stage, scale: Scale, pair: usize) -> anyhow::Result<(Left, Outlasted)> {
    let addresses: Vec<_> = (FIRST_PORT..)
        .take(SERVERS)
        .map(|port| format!("127.0.0.1:{port}"))
        .collect();
    let seed = pair.to_string();
    let mut arguments = vec!["leave", "--life-ms", LIFE_MS, "--seed", &seed];
    arguments.extend(addresses.iter().flat_map(|address| ["--listen", address]));
    let mut servers = ready(stage.role(&arguments)?).await?;

    let (callers, time) = (CALLERS.to_string(), scale.of(PAIR_MS).to_string());
    let mut arguments = vec![
        "outlast",
        "--connections",
        CONNECTIONS,
        "--callers",
        &callers,
        "--for-ms",
        &time,
    ];
    arguments.extend(addresses.iter().flat_map(|address| ["--server", address]));
    let mut client = ready(stage.role(&arguments)?).await?;

    let outlasted: Outlasted = go(&mut client).await?;
    let left: Left = told(&mut servers, JOURNAL).await?;
    anyhow::ensure!(left.shutdowns > 0, "no connection was shut down");
    anyhow::ensure!(
        left.processed >= outlasted.answered,
        "{} calls were answered and only {} processed",
        outlasted.answered,
        left.processed
    );
    client.kill().await?;
    servers.kill().await?;
    Ok((left, outlasted))
}
