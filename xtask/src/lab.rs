//! `lab` and `demo`: build the monitor and the lab, then hand over to the lab.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

use crate::command::{Purpose, cargo, must, run, target_directory};
use crate::{ebpf, host, peers};

/// Runs the lab with these arguments; its exit code is ours.
pub(crate) fn lab(arguments: &[OsString]) -> Result<ExitCode> {
    let mut command = if only_reads(arguments) {
        reader()?
    } else {
        let command = prepare(Purpose::Measure)?;
        peers::provide(arguments)?;
        command
    };
    let status = run(command.args(arguments))?;
    Ok(ExitCode::from(
        status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1),
    ))
}

/// Installs, builds, and gives back the command that starts the lab.
pub(crate) fn prepare(purpose: Purpose) -> Result<Command> {
    // A question for help or a wrong flag still costs a build: the flags are the lab's own.
    host::install_lab_tools()?;
    ebpf::build().context("the eBPF programs")?;
    let mut build = cargo(["build", "--release", "-p", "obit-monitor", "-p", "obit-lab"]);
    must(purpose.tell(&mut build))?;
    host::as_root(binary("obit-lab")?)
}

/// Whether results are read and nothing is measured.
fn only_reads(arguments: &[OsString]) -> bool {
    let mut words = arguments.iter();
    match words.next() {
        Some(first) if first == "bench" => words.next().is_some_and(|second| second == "diff"),
        first => first.is_some_and(|first| first == "report"),
    }
}

/// Builds what reads results, and gives back the command that starts it: no monitor, no tools, no root.
fn reader() -> Result<Command> {
    must(&mut cargo(["build", "--release", "-p", "obit-lab"]))?;
    Ok(Command::new(binary("obit-lab")?))
}

fn binary(name: &str) -> Result<PathBuf> {
    Ok(target_directory()?.join("release").join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_only_reads_results_needs_no_monitor() {
        let reads = |line: &str| only_reads(&line.split(' ').map(OsString::from).collect::<Vec<_>>());
        assert!(reads("report matrix") && reads("bench diff a b"));
        assert!(!reads("bench") && !reads("bench lab") && !reads("kill") && !only_reads(&[]));
    }
}
