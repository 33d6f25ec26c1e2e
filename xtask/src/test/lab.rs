//! A short run of the lab, held against what obit promises.

use std::process::Stdio;

use anyhow::{Context, Result};
use serde_json::Value;

use super::tally::Tally;
use crate::command::spell;
use crate::lab::prepare;

/// The names of the checks, for the list of what was skipped.
pub(crate) const CHECKS: [&str; 2] = ["lab: kill", "lab: blackhole"];

/// Runs the scenarios with `obit` at a load that takes seconds, and expects no failed call.
pub(crate) fn check(tally: &mut Tally) -> Result<()> {
    for (name, scenario) in CHECKS.iter().zip(["kill", "blackhole"]) {
        let outcome = no_call_failed(scenario);
        if let Err(error) = &outcome {
            eprintln!("   {error:#}");
        }
        tally.check(name, outcome.is_ok());
    }
    Ok(())
}

fn no_call_failed(scenario: &str) -> Result<()> {
    let mut lab = prepare()?;
    lab.args([
        scenario,
        "--client",
        "obit",
        "--concurrency",
        "200",
        "--requests",
        "200",
        "--json",
    ]);
    eprintln!("\x1b[1m   $ {}\x1b[0m", spell(&lab));
    let output = lab.stderr(Stdio::inherit()).output().context("the lab")?;
    let printed = String::from_utf8_lossy(&output.stdout);
    anyhow::ensure!(output.status.success(), "the lab failed ({})", output.status);
    let line = printed
        .lines()
        .find(|line| line.contains(scenario))
        .context("the lab printed no result")?;
    println!("{line}");
    let result: Value = serde_json::from_str(line).context("the lab's result")?;
    let (success, fail) = (&result["success"], &result["fail"]);
    anyhow::ensure!(
        success.as_u64() == Some(200 * 200),
        "{success} calls succeeded, not {}",
        200 * 200
    );
    anyhow::ensure!(fail.as_u64() == Some(0), "{fail} calls failed");
    anyhow::ensure!(
        !result["evicted_after_ms"].is_null(),
        "the victim was never taken out of rotation"
    );
    Ok(())
}
