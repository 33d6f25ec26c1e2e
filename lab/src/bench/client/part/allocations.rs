//! How often is allocated for a pick, counted; and for a whole call, beside bare hyper's.

use super::super::allocations::Allocations;
use super::super::stage::Stage;
use super::{Part, median};
use crate::bench::Outcome;
use crate::bench::run::Scale;
use crate::bench::talk::{read, ready};
use crate::child::LabProcess;

/// The program that counts.
const PROGRAM: &str = "obit-lab-allocations";

/// Where the pod listens, on loopback.
const ADDRESS: &str = "127.0.0.1:7010";

/// Calls that are counted.
const CALLS: u32 = 5_000;

pub(super) async fn measure(stage: &Stage, scale: Scale) -> anyhow::Result<Vec<Outcome>> {
    let _server = ready(stage.role(&["serve", "--listen", ADDRESS])?).await?;
    let mut counted: Vec<Allocations> = Vec::new();
    for pair in 0..scale.pairs {
        let calls = scale.of(CALLS).to_string();
        let arguments = ["--server", ADDRESS, "--calls", &calls].map(str::to_owned);
        let mut counter = LabProcess::start_other(stage.client(), PROGRAM, &arguments)?;
        let allocations: Allocations = read(&mut counter).await?;
        let told = format!(
            "{:.0} a pick, {:.1} a call, {:.1} of bare hyper",
            allocations.a_pick, allocations.a_call, allocations.a_bare_call
        );
        scale.progress(Part::Allocations, pair, &told);
        counted.push(allocations);
    }
    let picks = counted.iter().map(|it| it.a_pick);
    let mut outcome = Part::Allocations.at_most("allocations a pick", "1", picks, 0.0)?;
    outcome.figures = vec![
        ("a_call", median(counted.iter().map(|it| it.a_call))?),
        ("a_call_of_hyper", median(counted.iter().map(|it| it.a_bare_call))?),
    ];
    Ok(vec![outcome])
}
