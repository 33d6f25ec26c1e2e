//! `obit-lab`: see [`obit_lab::cli`]. Ends every process and namespace of its own, also when interrupted.

use std::future::Future;
use std::process::ExitCode;

use clap::Parser as _;
use obit_lab::cli::{BenchCommand, Cli, Command};
use obit_lab::scenario::{BLACKHOLE, KILL, STEADY};
use obit_lab::{bench, dns, latency, pod, session, workload};
use tokio::signal::unix::{SignalKind, signal};

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Steady(args) => lab(session::scenario(&STEADY, &args)),
        Command::Kill(args) => lab(session::scenario(&KILL, &args)),
        Command::Blackhole(args) => lab(session::scenario(&BLACKHOLE, &args)),
        Command::Demo(args) => lab(session::demo(&args)),
        Command::Latency(args) => lab(session::latency(&args)),
        Command::Bench(BenchCommand::Monitor(args)) => lab(session::bench(&args)),
        Command::Bench(BenchCommand::Client(args)) => lab(session::bench(&args)),
        Command::Pod(args) => pod::run(&args),
        Command::Dns(args) => dns::run(&args),
        Command::Client(args) => workload::run(&args),
        Command::Peer(args) => latency::run_peer(&args),
        Command::Deaths(args) => latency::run_deaths(&args),
        Command::Role(args) => bench::run_role(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("obit-lab: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs `work` until it ends or the lab is interrupted; either way its processes and namespaces go with it. On this
/// thread: the kernel kills a lab's processes when the thread that started them ends.
fn lab(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            result = work => result,
            _ = interrupt.recv() => Err(anyhow::anyhow!("interrupted")),
            _ = terminate.recv() => Err(anyhow::anyhow!("terminated")),
        }
    })
}
