//! obit in a real Kubernetes: what the end-to-end tests say of themselves, counted.

use std::io::{BufRead, BufReader};
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context, Result};

use super::tally::Tally;
use crate::command::spell;
use crate::{deploy, e2e, host};

/// What the cases are called together, also where not a single one ran.
const CASES: &str = "Kubernetes";
/// What the checks of the manifests are called where none could be made.
const MANIFESTS: &str = "deploy: the manifests";

/// How long the cases may take, seconds; the parts of the cluster are built before.
const LIMIT: &str = "1500";
/// How long the cluster may take to go once it is told to, seconds.
const GRACE: &str = "120";
/// What `timeout` ends with when it told what it ran to end, and when that had to be killed.
const TIMED_OUT: i32 = 124;
const KILLED: i32 = 137;

/// Holds the manifests against each other, then runs every case. Where that cannot be, it is skipped, and says why.
pub(crate) fn check(tally: &mut Tally) {
    if let Err(error) = e2e::can_build() {
        eprintln!("   skipped: {error:#}");
        tally.skipped.extend([MANIFESTS, CASES].map(str::to_owned));
        return;
    }
    // First, as kubectl and Helm are built with it.
    let prepared = host::is_root().then(e2e::prepare);
    match e2e::clients() {
        Ok([kubectl, helm]) => {
            for (name, result) in deploy::check(&kubectl, &helm) {
                tally.outcome(&name, &result);
            }
        }
        Err(error) => tally.outcome(MANIFESTS, &Err(error)),
    }
    match prepared.map(|command| run(&command?)) {
        Some(Ok(result)) => tally.absorb(CASES, result),
        Some(Err(error)) => tally.outcome(CASES, &Err(error)),
        None => {
            eprintln!(
                "   skipped: the cases need root. Next: run `cargo xtask test` as root, or `cargo xtask e2e` alone"
            );
            tally.skipped.push(CASES.to_owned());
        }
    }
}

/// Runs it within its time; what it said.
fn run(command: &Command) -> Result<Tally> {
    let mut limited = Command::new("timeout");
    // An interrupt, which is what makes it take down its cluster.
    limited.args(["--foreground", "--signal=INT", &format!("--kill-after={GRACE}"), LIMIT]);
    limited.arg(command.get_program()).args(command.get_args());
    eprintln!("\x1b[1m   $ {}\x1b[0m", spell(&limited));
    let mut child = limited.stdout(Stdio::piped()).spawn().context("the end-to-end tests")?;
    let output = child.stdout.take().context("what the end-to-end tests print")?;
    let mut report = Report::default();
    for line in BufReader::new(output).lines() {
        let line = line.context("what the end-to-end tests print")?;
        println!("{line}");
        report.read_line(&line);
    }
    Ok(report.close(child.wait()?))
}

/// What has been heard of cases.
#[derive(Debug, Default)]
struct Report(Tally);

impl Report {
    /// Takes in a line: `PASS name …`, `FAIL name: why` or `SKIP name: why`; others say nothing of cases.
    fn read_line(&mut self, line: &str) {
        let Some((outcome, case)) = line.split_once(' ') else {
            return;
        };
        match outcome {
            "PASS" => self.0.passed += 1,
            "FAIL" => self.0.failed.push(case.to_owned()),
            "SKIP" => self.0.skipped.push(case.to_owned()),
            _ => {}
        }
    }

    /// The whole; an end that no case explains is a failure of its own.
    fn close(self, status: ExitStatus) -> Tally {
        let mut tally = self.0;
        let ran = tally.passed + tally.failed.len();
        if status.code() == Some(TIMED_OUT) {
            tally.failed.push(format!("it had not ended after {LIMIT} s"));
        } else if status.code() == Some(KILLED) {
            let told = format!("it had not ended after {LIMIT} s, nor {GRACE} s after it was told to end");
            tally.failed.push(told);
        } else if !status.success() && tally.failed.is_empty() {
            tally
                .failed
                .push(format!("it ended early ({status}); see what it printed"));
        } else if ran == 0 {
            tally.failed.push("no case ran".to_owned());
        }
        tally
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;

    use super::*;

    fn closed(lines: &[&str], code: i32) -> Tally {
        let mut report = Report::default();
        for line in lines {
            report.read_line(line);
        }
        report.close(ExitStatus::from_raw(code << 8))
    }

    #[test]
    fn each_case_counts_and_what_did_not_pass_is_named_with_its_reason() {
        let lines = [
            "PASS install in 12.1 s",
            "FAIL kill: 3 calls failed",
            "SKIP partition: one node",
            "passed 1 of 3",
            "PASS",
            "",
        ];
        let tally = closed(&lines, 1);
        assert_eq!(tally.summary(), "1 passed, 1 failed, 1 skipped");
        assert_eq!(tally.failed, ["kill: 3 calls failed"]);
        assert_eq!(tally.skipped, ["partition: one node"]);
    }

    #[test]
    fn an_end_that_no_case_explains_is_a_failure() {
        assert_eq!(closed(&["PASS install"], 0).summary(), "1 passed, 0 failed, 0 skipped");
        let early = closed(&["PASS install"], 2);
        assert!(early.failed[0].contains("ended early"), "{early:?}");
        assert_eq!(closed(&[], 0).failed, ["no case ran"]);
        for code in [TIMED_OUT, KILLED] {
            let hung = closed(&["PASS install", "FAIL kill: slow"], code);
            assert_eq!(hung.failed.len(), 2, "{hung:?}");
        }
    }
}
