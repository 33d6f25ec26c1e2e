//! `lab` and `demo`: build the monitor and the lab, then hand over to the lab.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

use crate::command::{cargo, must, run, target_directory};
use crate::{ebpf, host, peers};

/// Runs the lab with these arguments; its exit code is ours.
pub(crate) fn lab(arguments: &[OsString]) -> Result<ExitCode> {
    let mut command = if arguments.first().is_some_and(|it| it == "report") {
        reader()?
    } else {
        let command = prepare()?;
        peers::provide(arguments)?;
        command
    };
    let status = run(command.args(arguments))?;
    Ok(ExitCode::from(
        status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1),
    ))
}

/// Installs, builds, and gives back the command that starts the lab.
pub(crate) fn prepare() -> Result<Command> {
    // A question for help or a wrong flag still costs a build: the flags are the lab's own.
    host::install_lab_tools()?;
    ebpf::build().context("the eBPF programs")?;
    must(&mut cargo([
        "build",
        "--release",
        "-p",
        "obit-monitor",
        "-p",
        "obit-lab",
    ]))?;
    host::as_root(binary("obit-lab")?)
}

/// Builds what reads results, and gives back the command that starts it: no monitor, no tools, no root.
fn reader() -> Result<Command> {
    must(&mut cargo(["build", "--release", "-p", "obit-lab"]))?;
    Ok(Command::new(binary("obit-lab")?))
}

fn binary(name: &str) -> Result<PathBuf> {
    Ok(target_directory()?.join("release").join(name))
}
