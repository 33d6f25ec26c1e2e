//! A short run of the lab, held against what obit promises.

use std::process::Stdio;

use anyhow::{Context, Result};
use serde_json::Value;

use super::tally::Tally;
use crate::command::spell;
use crate::lab::prepare;

/// The names of the checks, for the list of what was skipped.
pub(crate) const CHECKS: [&str; 4] = ["lab: kill", "lab: blackhole", "lab: bench monitor", "lab: bench client"];

/// Rows of the monitor's bench: two of its nine parts have two.
const MONITOR_ROWS: usize = 11;

/// Rows of the client library's bench: of its fourteen parts three have two, and two have three.
const CLIENT_ROWS: usize = 24;

/// Runs the scenarios with `obit` at a load that takes seconds, and expects no failed call.
pub(crate) fn check(tally: &mut Tally) -> Result<()> {
    let kill = || no_call_failed("kill");
    let blackhole = || no_call_failed("blackhole");
    let monitor = || every_part_of_the_bench_works("monitor", MONITOR_ROWS);
    let client = || every_part_of_the_bench_works("client", CLIENT_ROWS);
    let checks: [&dyn Fn() -> Result<()>; CHECKS.len()] = [&kill, &blackhole, &monitor, &client];
    for (name, check) in CHECKS.iter().zip(checks) {
        let outcome = check();
        if let Err(error) = &outcome {
            eprintln!("   {error:#}");
        }
        tally.check(name, outcome.is_ok());
    }
    Ok(())
}

fn no_call_failed(scenario: &str) -> Result<()> {
    let printed = lab(&[
        scenario,
        "--client",
        "obit",
        "--concurrency",
        "200",
        "--requests",
        "200",
        "--json",
    ])?;
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

/// Measures nothing: so little is done that it takes less than a minute.
fn every_part_of_the_bench_works(bench: &str, expected: usize) -> Result<()> {
    let printed = lab(&["bench", bench, "--trial", "--pairs", "1", "--json"])?;
    let rows: Vec<Value> = printed
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()
        .context("the bench's results")?;
    anyhow::ensure!(rows.len() == expected, "{} rows, not {expected}", rows.len());
    for row in rows {
        anyhow::ensure!(row["b"]["median"].is_number(), "{row} has no median");
    }
    Ok(())
}

/// Runs the lab with these arguments; what it printed.
fn lab(arguments: &[&str]) -> Result<String> {
    let mut lab = prepare()?;
    lab.args(arguments);
    eprintln!("\x1b[1m   $ {}\x1b[0m", spell(&lab));
    let output = lab.stderr(Stdio::inherit()).output().context("the lab")?;
    anyhow::ensure!(output.status.success(), "the lab failed ({})", output.status);
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
