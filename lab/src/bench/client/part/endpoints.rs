//! What five thousand connected endpoints take of memory.

use super::super::role::Grown;
use super::super::stage::Stage;
use super::{Part, in_unit, median};
use crate::bench::Outcome;
use crate::bench::run::Scale;
use crate::bench::talk::{go, ready};

/// Endpoints, each with a connection.
const ENDPOINTS: u32 = 5_000;

/// Their port: one server listens on it, on every address.
const PORT: &str = "7020";

/// A mebibyte.
const MIB: f64 = 1_048_576.0;

pub(super) async fn measure(stage: &Stage, scale: Scale) -> anyhow::Result<Vec<Outcome>> {
    let endpoints = scale.of(ENDPOINTS);
    let mut grown: Vec<Grown> = Vec::new();
    for pair in 0..scale.pairs {
        let mut server = ready(stage.role(&["serve", "--listen", &format!("0.0.0.0:{PORT}")])?).await?;
        let arguments = ["endpoints", "--port", PORT, "--endpoints", &endpoints.to_string()];
        let mut client = ready(stage.role(&arguments)?).await?;
        let one: Grown = go(&mut client).await?;
        client.kill().await?;
        server.kill().await?;
        scale.progress(Part::Endpoints5k, pair, &format!("{:.1} MiB", in_unit(one.bytes, MIB)));
        grown.push(one);
    }
    let sizes = grown.iter().map(|it| in_unit(it.bytes, MIB));
    let mut outcome = Part::Endpoints5k.at_most("memory", "MiB", sizes, 30.0)?;
    let of_each = grown.iter().map(|it| in_unit(it.bytes, 1024.0 * f64::from(endpoints)));
    outcome.figures = vec![
        ("an_endpoint_kib", median(of_each)?),
        (
            "all_ready_ms",
            median(grown.iter().map(|it| in_unit(it.ready_ns, 1e6)))?,
        ),
        ("cpu_ms", median(grown.iter().map(|it| in_unit(it.cpu_ns, 1e6)))?),
    ];
    Ok(vec![outcome])
}
