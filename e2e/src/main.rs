//! obit in a real Kubernetes: stands one up in network namespaces of this machine, deploys obit as its documentation says, breaks
//! things, and looks at what an application is told.

mod args;
mod cases;
mod clock;
mod cluster;
mod command;
mod folder;
mod interrupt;
mod kubectl;
mod report;
mod run;
mod saw;
mod stage;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let args = args::Args::parse();
    match run::run(args) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("obit-e2e: {error:#}");
            ExitCode::FAILURE
        }
    }
}
