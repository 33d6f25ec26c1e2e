//! A short run of the lab, held against what obit promises.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use anyhow::{Context, Result};
use serde_json::Value;

use super::tally::Tally;
use crate::command::{Purpose, spell, target_directory};
use crate::lab::prepare;
use crate::peers::Source;

/// The names of the checks, for the list of what was skipped.
pub(crate) const CHECKS: [&str; 11] = [
    "lab: kill",
    "lab: blackhole",
    "lab: rolling",
    "lab: overload",
    "lab: partition",
    "lab: kill-bidi",
    "lab: bench",
    peers_of(Source::Go),
    peers_of(Source::Ginepro),
    peers_of(Source::Envoy),
    peers_of(Source::Nginx),
];

/// The check of a source's peers, skipped where they cannot be had.
const fn peers_of(source: Source) -> &'static str {
    match source {
        Source::Go => "lab: peers in Go",
        Source::Ginepro => "lab: ginepro",
        Source::Envoy => "lab: Envoy",
        Source::Nginx => "lab: nginx",
    }
}

/// So many that a run takes seconds.
const CALLERS: u64 = 200;

/// What is tried of the benches: of the lab's, whose scenarios are run by themselves here, one part.
const BENCHES: [&str; 3] = ["monitor", "client", "lab/kill"];

/// Their rows: two of the monitor's nine parts have two; of the client library's fifteen three have two, and three have three; four of
/// the lab's part.
const ROWS: usize = 11 + 24 + 4;

/// Runs the scenarios with `obit` at a load that takes seconds, and expects no failed call.
pub(crate) fn check(tally: &mut Tally) -> Result<()> {
    let kill = || evicted(&no_call_failed("kill")?);
    let blackhole = || evicted(&no_call_failed("blackhole")?);
    let rolling = || nobody_wronged(&no_call_failed("rolling")?);
    let overload = || nobody_wronged(&no_call_failed("overload")?);
    let partition = || nobody_wronged(&no_call_failed("partition")?);
    let streams = || streams_are_cut_and_none_hangs("kill-bidi");
    let checks: [&dyn Fn() -> Result<()>; 7] = [
        &kill,
        &blackhole,
        &rolling,
        &overload,
        &partition,
        &streams,
        &the_benches_work,
    ];
    for (name, check) in CHECKS.iter().zip(checks) {
        tally.outcome(name, &check());
    }
    for source in Source::ALL {
        match source.can_be_provided() {
            true => tally.outcome(peers_of(source), &every_peer_works(source)),
            false => tally.skipped.push(peers_of(source).to_owned()),
        }
    }
    Ok(())
}

/// What the lab says of it.
fn no_call_failed(scenario: &str) -> Result<Value> {
    let result = measured(scenario)?;
    anyhow::ensure!(result["fail"] == 0, "{} calls failed", result["fail"]);
    Ok(result)
}

/// A stream that has begun to answer when its pod dies fails, as its rest is nowhere else: of each caller one at most, and soon.
fn streams_are_cut_and_none_hangs(scenario: &str) -> Result<()> {
    let result = measured(scenario)?;
    let (fail, slowest) = (&result["fail"], &result["max_ms"]);
    anyhow::ensure!(fail.as_u64().is_some_and(|fail| fail <= CALLERS), "{fail} calls failed");
    // One that hung would take until the lab stops the client, after 60 s.
    anyhow::ensure!(
        slowest.as_f64().is_some_and(|slowest| slowest < 10_000.0),
        "a call took {slowest} ms"
    );
    anyhow::ensure!(result["wrongly_evicted"] == 0, "living pods were taken for dead");
    evicted(&result)
}

/// The figures of a run with `obit`, in which calls were answered.
fn measured(scenario: &str) -> Result<Value> {
    let callers = CALLERS.to_string();
    let printed = lab(&[scenario, "--client", "obit", "--concurrency", &callers, "--json"])?;
    let line = printed
        .lines()
        .find(|line| line.contains(scenario))
        .context("the lab printed no result")?;
    println!("{line}");
    let result: Value = serde_json::from_str(line).context("the lab's result")?;
    anyhow::ensure!(
        result["success"].as_u64().is_some_and(|success| success > 0),
        "no call was answered"
    );
    Ok(result)
}

fn evicted(result: &Value) -> Result<()> {
    anyhow::ensure!(
        !result["evicted_after_ms"].is_null(),
        "the victim was never taken out of rotation"
    );
    Ok(())
}

/// Nobody was taken for dead who was there, and everybody had its share in the end.
fn nobody_wronged(result: &Value) -> Result<()> {
    let (wrong, unrecovered) = (&result["wrongly_evicted"], &result["unrecovered"]);
    anyhow::ensure!(wrong == 0, "{wrong} living pods were taken for dead");
    anyhow::ensure!(unrecovered == 0, "{unrecovered} pods never had their share again");
    Ok(())
}

/// Measures nothing: so little is done that it takes less than a minute. What comes out can be compared, and with itself it agrees.
fn the_benches_work() -> Result<()> {
    let file = target_directory()?.join("bench/trial.json");
    let path = file.to_str().context("the path of the results is no text")?;
    let mut arguments = vec!["bench", "--trial", "--out", path];
    arguments.extend(BENCHES.iter().flat_map(|name| ["--part", name]));
    lab(&arguments)?;
    let text = std::fs::read_to_string(&file).context(path.to_owned())?;
    let results: Value = serde_json::from_str(&text).context("the results of the benches")?;
    let rows = results["rows"].as_array().map_or(&[][..], Vec::as_slice);
    anyhow::ensure!(
        results["whole"] == true && rows.len() == ROWS,
        "{} rows, not {ROWS}",
        rows.len()
    );
    for row in rows {
        anyhow::ensure!(row["b"]["median"].is_number(), "{row} has no median");
    }
    let changed = lab(&["bench", "diff", path, path, "--json"])?;
    for line in changed.lines() {
        let row: Value = serde_json::from_str(line).context("the comparison")?;
        let unchanged = row["verdict"] == "noise" || row["verdict"] == "too_few";
        anyhow::ensure!(unchanged, "compared with itself: {line}");
    }
    anyhow::ensure!(changed.lines().count() == ROWS, "not every row was compared");
    Ok(())
}

/// Where nothing dies, no peer has an excuse, whether calls may be repeated or not.
fn every_peer_works(source: Source) -> Result<()> {
    source.provide(Purpose::Try)?;
    let (concurrency, requests) = (50, 50);
    let numbers = [concurrency, requests].map(|it: u32| it.to_string());
    for repeated in [&[][..], &["--not-idempotent"]] {
        let mut arguments = vec![
            "steady",
            "--json",
            "--concurrency",
            &numbers[0],
            "--requests",
            &numbers[1],
        ];
        arguments.extend(source.peers().iter().flat_map(|name| ["--client", name]));
        arguments.extend(repeated);
        let printed = lab(&arguments)?;
        for name in source.peers() {
            let line = printed.lines().find(|line| line.contains(&format!("\"{name}\"")));
            let line = line.with_context(|| format!("the lab printed no result of {name}"))?;
            let result: Value = serde_json::from_str(line).context("the lab's result")?;
            anyhow::ensure!(
                result["success"] == concurrency * requests && result["fail"] == 0,
                "not every call of {name} succeeded: {line}"
            );
        }
    }
    Ok(())
}

/// Runs the lab with these arguments; what it printed. Its last words are in the error when it fails.
fn lab(arguments: &[&str]) -> Result<String> {
    let mut lab = prepare(Purpose::Try)?;
    lab.args(arguments);
    eprintln!("\x1b[1m   $ {}\x1b[0m", spell(&lab));
    lab.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut lab = lab.spawn().context("the lab")?;
    let said = lab.stderr.take().context("the lab's standard error")?;
    let listener = std::thread::spawn(move || {
        let mut last = String::new();
        for line in BufReader::new(said).lines().map_while(Result::ok) {
            eprintln!("{line}");
            if !line.trim().is_empty() {
                last = line;
            }
        }
        last
    });
    let output = lab.wait_with_output().context("the lab")?;
    let last = listener.join().unwrap_or_default();
    anyhow::ensure!(output.status.success(), "the lab failed ({}): {last}", output.status);
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
