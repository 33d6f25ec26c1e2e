//! What five thousand connected endpoints take of memory: of obit's client (B), and of as many connections of bare hyper (A).

use super::super::role::Grown;
use super::super::stage::Stage;
use super::{Part, in_unit, median};
use crate::bench::run::Scale;
use crate::bench::talk::{go, ready};
use crate::bench::{Outcome, Pairs};

/// Endpoints, each with a connection.
const ENDPOINTS: u32 = 5_000;

/// Their port: one server listens on it, on every address.
const PORT: &str = "7020";

/// A mebibyte.
const MIB: f64 = 1_048_576.0;

pub(super) async fn measure(stage: &Stage, scale: Scale) -> anyhow::Result<Vec<Outcome>> {
    let endpoints = scale.of(ENDPOINTS);
    let mut grown: [Vec<Grown>; 2] = [Vec::new(), Vec::new()];
    for pair in 0..scale.pairs {
        for side in if pair % 2 == 0 { [0, 1] } else { [1, 0] } {
            let one = connect(stage, endpoints, side == 0).await?;
            grown[side].push(one);
        }
        let mib = |side: usize| in_unit(grown[side][pair].bytes, MIB);
        scale.progress(Part::Endpoints5k, pair, &format!("{:.1} and {:.1} MiB", mib(0), mib(1)));
    }
    let [bare, grown] = grown;
    let sizes = |side: &[Grown]| side.iter().map(|it| in_unit(it.bytes, MIB)).collect::<Vec<_>>();
    let mut outcome = Part::Endpoints5k.at_most("memory", "MiB", sizes(&grown), 30.0)?;
    outcome.a = Pairs::of(sizes(&bare));
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

/// Fresh processes: what an allocator keeps must not serve the next.
async fn connect(stage: &Stage, endpoints: u32, bare: bool) -> anyhow::Result<Grown> {
    let mut server = ready(stage.role(&["serve", "--listen", &format!("0.0.0.0:{PORT}")])?).await?;
    let endpoints = endpoints.to_string();
    let mut arguments = vec!["endpoints", "--port", PORT, "--endpoints", &endpoints];
    if bare {
        arguments.push("--bare");
    }
    let mut client = ready(stage.role(&arguments)?).await?;
    let grown = go(&mut client).await?;
    client.kill().await?;
    server.kill().await?;
    Ok(grown)
}
