//! Runs one target: follows what it prints, keeps it in a file, and says what broke.

use std::collections::VecDeque;
use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};

use super::report::Progress;
use super::tools::Tools;
use super::{corpus, from_root};
use crate::command::run as run_in_sight;

/// A single input takes microseconds; one that takes this long hangs.
const HANG_SECONDS: u32 = 10;

/// What a target may take of memory, the sanitizer's own share included; what the readers may take is checked by the
/// targets themselves.
const MEMORY_MB: u32 = 1024;

/// How much of what a target printed last is shown when something broke.
const SHOWN: usize = 60;

/// What came of one target.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) target: String,
    pub(super) progress: Progress,
    pub(crate) failure: Option<Failure>,
}

/// Why a target failed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// An input broke something, or hung.
    Broken { target: String, artifact: String },
    /// It ended without saying on which input.
    Ended { status: String },
    /// It ended well, and ran nothing.
    Idle,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broken { target, artifact } => write!(
                f,
                "{artifact} broke it.\n  reproduce: cargo xtask fuzz {target} --reproduce {artifact}\n  \
                 keep:      cp {artifact} fuzz/corpus/{target}/NAME, and `cargo test -p obit-fuzz` fails until it is mended"
            ),
            Self::Ended { status } => write!(f, "it ended with {status} and names no input: see what it printed"),
            Self::Idle => write!(f, "it ran no input: see what it printed"),
        }
    }
}

/// Runs a target for so long.
///
/// # Errors
/// It cannot be started, or what it prints cannot be kept.
pub(super) fn run(tools: &Tools, target: &str, seconds: u64, progress: &Mutex<Progress>) -> Result<Outcome> {
    let artifacts = tools.folder("artifacts", target)?;
    let mut command = command(tools, target);
    command
        .arg(corpus::working(tools, target)?)
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .arg(format!("-max_total_time={seconds}"))
        .arg("-print_final_stats=1")
        // libFuzzer prints one, and what the panic says shall not be lost between two.
        .env("RUST_BACKTRACE", "0");
    let log = tools.folder("logs", "")?.join(format!("{target}.log"));
    eprintln!("   {target}: {seconds} s, {}", from_root(&log));
    follow(command, target, &log, progress)
}

/// Runs a target on one input, in sight.
pub(super) fn reproduce(tools: &Tools, target: &str, input: &Path) -> Result<ExitCode> {
    anyhow::ensure!(input.is_file(), "{} is no file", input.display());
    let status = run_in_sight(command(tools, target).env("RUST_BACKTRACE", "1").arg(input))?;
    if status.success() {
        println!("{target}: {} breaks nothing", input.display());
        return Ok(ExitCode::SUCCESS);
    }
    println!("{target}: {} breaks it ({status})", input.display());
    Ok(ExitCode::FAILURE)
}

fn command(tools: &Tools, target: &str) -> Command {
    let mut command = Command::new(tools.binary(target));
    command
        // Two copies of one constant, which Rust programs may have.
        .env("ASAN_OPTIONS", "detect_odr_violation=0")
        .arg(format!("-timeout={HANG_SECONDS}"))
        .arg(format!("-rss_limit_mb={MEMORY_MB}"));
    command
}

fn follow(mut command: Command, target: &str, log: &Path, progress: &Mutex<Progress>) -> Result<Outcome> {
    let mut file = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}", command.get_program().display()))?;
    let output = child.stderr.take().context("what the target prints")?;
    let mut last = VecDeque::new();
    // It prints the input that broke something, which need not be text.
    for line in BufReader::new(output).split(b'\n') {
        let line = line.context("what the target prints")?;
        file.write_all(&line).and_then(|()| file.write_all(b"\n"))?;
        let line = String::from_utf8_lossy(&line).into_owned();
        progress.lock().unwrap_or_else(PoisonError::into_inner).read_line(&line);
        last.push_back(line);
        if last.len() > SHOWN {
            last.pop_front();
        }
    }
    let status = child.wait()?;
    let progress = {
        let mut progress = progress.lock().unwrap_or_else(PoisonError::into_inner);
        progress.end();
        progress.clone()
    };
    let failure = if status.success() {
        (progress.executions == 0).then_some(Failure::Idle)
    } else {
        Some(match &progress.artifact {
            Some(artifact) => Failure::Broken {
                target: target.to_owned(),
                artifact: from_root(Path::new(artifact)),
            },
            None => Failure::Ended {
                status: status.to_string(),
            },
        })
    };
    if failure.is_some() {
        for line in &last {
            eprintln!("   {target} | {line}");
        }
    }
    Ok(Outcome {
        target: target.to_owned(),
        progress,
        failure,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(script: &str) -> Outcome {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", &format!("({script}) >&2")]);
        follow(command, "btf", &folder.path().join("log"), &Mutex::default()).unwrap()
    }

    #[test]
    fn a_target_that_ran_and_ended_well_is_well() {
        let outcome = outcome("echo '#9 DONE cov: 3 ft: 3 corp: 1/1b'; echo stat::number_of_executed_units: 9");
        assert_eq!((outcome.failure, outcome.progress.executions), (None, 9));
    }

    #[test]
    fn a_crash_names_the_input_and_the_command_that_shows_it_again() {
        let outcome =
            outcome("echo '#9 NEW cov: 3'; printf '\\377\\n'; echo 'Test unit written to /t/crash-1'; exit 77");
        let said = outcome.failure.unwrap().to_string();
        assert!(said.contains("cargo xtask fuzz btf --reproduce /t/crash-1"), "{said}");
    }

    #[test]
    fn a_target_that_did_not_run_is_a_failure_whatever_it_says() {
        assert_eq!(outcome("true").failure, Some(Failure::Idle));
        assert!(matches!(outcome("exit 1").failure, Some(Failure::Ended { .. })));
    }
}
