//! What it costs to read the health of one peer in the feed's map.

use super::super::stage::Stage;
use super::Part;
use crate::bench::run::Scale;
use crate::bench::talk::{go, ready};
use crate::bench::{Done, Outcome};

/// Readings that are timed.
const READS: u32 = 20_000_000;

pub(super) async fn measure(stage: &Stage, scale: Scale) -> anyhow::Result<Vec<Outcome>> {
    let mut reader = ready(stage.role(&["read-map", "--reads", &scale.of(READS).to_string()])?).await?;
    let mut costs = Vec::new();
    for pair in 0..scale.pairs {
        let done: Done = go(&mut reader).await?;
        // By processor time: others are not in it.
        let cost_ns = 1e9 / done.per_cpu_second();
        scale.progress(Part::MapRead, pair, &format!("{cost_ns:.1} ns"));
        costs.push(cost_ns);
    }
    Ok(vec![Part::MapRead.at_most("a reading", "ns", costs, 20.0)?])
}
