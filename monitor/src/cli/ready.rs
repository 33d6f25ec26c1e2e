//! `obit ready`: whether the monitor here works, for probes that execute something: what they print stands in the pod's events.

use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;

use crate::status;

/// The environment variable that names where a monitor's status is asked for.
pub(super) const LISTEN: &str = "OBIT_LISTEN";

#[derive(Debug, Args)]
pub(super) struct ReadyArgs {
    /// Where the monitor answers, as it was told
    #[arg(long, env = LISTEN, value_name = "ADDRESS:PORT")]
    listen: SocketAddr,
}

pub(super) fn run(args: &ReadyArgs) -> anyhow::Result<ExitCode> {
    let asked = status::ask(args.listen);
    let (ready, says) = asked.with_context(|| format!("no monitor answers at {}", args.listen))?;
    println!("{says}");
    Ok(if ready { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
