//! `obit-lab`: see [`obit_lab::cli`]. Ends every process and namespace of its own, also when interrupted.

use std::future::Future;
use std::process::ExitCode;

use obit_lab::cli::{Asked, BenchCommand, BenchesArgs, Command, GatherArgs, RunArgs};
use obit_lab::{api, bench, dns, latency, matrix, neighbour, pod, session, workload};
use tokio::signal::unix::{SignalKind, signal};

fn main() -> ExitCode {
    let asked = Asked::parse(std::env::args_os()).unwrap_or_else(|error| error.exit());
    let result = match asked {
        Asked::Scenario(scenario, args) => lab(session::scenario(&scenario, &args)).map(|()| ExitCode::SUCCESS),
        Asked::Other(command) => other(command),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("obit-lab: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn other(command: Command) -> anyhow::Result<ExitCode> {
    let done = match command {
        Command::Run(RunArgs { scenario, args }) => lab(session::scenario(&scenario, &args)),
        Command::Demo(args) => lab(session::demo(&args)),
        Command::Latency(args) => lab(session::latency(&args)),
        Command::Bench(BenchesArgs { what, all }) => return benches(what, &all),
        Command::Matrix(args) => lab(matrix::run(&args)),
        Command::Report(args) => matrix::report(&args),
        Command::Pod(args) => pod::run(&args),
        Command::Dns(args) => dns::run(&args),
        Command::Api(args) => api::run(&args),
        Command::Neighbour(args) => neighbour::run(&args),
        Command::Client(args) => workload::run(&args),
        Command::Peer(args) => latency::run_peer(&args),
        Command::Deaths(args) => latency::run_deaths(&args),
        Command::Role(args) => bench::run_role(&args),
    };
    done.map(|()| ExitCode::SUCCESS)
}

fn benches(what: Option<BenchCommand>, all: &GatherArgs) -> anyhow::Result<ExitCode> {
    let done = match what {
        None => lab(bench::gather(all)),
        Some(BenchCommand::Monitor(args)) => lab(session::bench(&args)),
        Some(BenchCommand::Client(args)) => lab(session::bench(&args)),
        Some(BenchCommand::Lab(args)) => lab(session::bench(&args)),
        Some(BenchCommand::Diff(args)) => return bench::diff::run(&args),
    };
    done.map(|()| ExitCode::SUCCESS)
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
