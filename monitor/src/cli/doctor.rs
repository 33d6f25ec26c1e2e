//! `obit doctor`: says whether a monitor can work here.

use std::io::Write;
use std::process::{Command, ExitCode};

use clap::Args;

use super::SocketArgs;
use crate::doctor::{self, trial};

#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    #[command(flatten)]
    socket: SocketArgs,
    /// One JSON object
    #[arg(long)]
    json: bool,
    /// Try what takes privileges, print what came of it, and end
    #[arg(long, hide = true)]
    trial: bool,
}

/// The process's exit code: 0 where a monitor works, 1 where it works in part, 2 where it cannot.
pub(super) fn run(args: &DoctorArgs) -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    if args.trial {
        serde_json::to_writer(&mut out, &trial::run())?;
        return Ok(ExitCode::SUCCESS);
    }
    let report = doctor::examine(&args.socket.socket, || {
        let this =
            std::env::current_exe().map_err(|error| format!("this program's own file cannot be found: {error}"))?;
        let mut again = Command::new(this);
        again.args(["doctor", "--trial"]);
        trial::in_another_process(again)
    });
    if args.json {
        serde_json::to_writer_pretty(&mut out, &report)?;
        writeln!(out)?;
    } else {
        writeln!(out, "{report}")?;
    }
    Ok(report.verdict.exit_code().into())
}
