//! The command line: what an operator starts the path with, and looks at its end with.

mod doctor;
mod kubernetes;
mod monitor;
mod ready;
mod record;
mod replay;
mod subscription;
mod watch;

use std::hash::{BuildHasher, RandomState};
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use obit_protocol::{DEFAULT_SOCKET_PATH, SOCKET_PATH_ENV};
use tracing_subscriber::EnvFilter;

#[derive(Debug, Parser)]
#[command(
    name = "obit",
    version,
    about = "Your connection pool reads the obituary before it dials the dead."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// What to log to stderr, as in RUST_LOG: "info", "obit_monitor=debug"
    #[arg(long, global = true, env = "RUST_LOG", default_value = "info", value_name = "FILTER")]
    log: String,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Watch this node's kernel and tell subscribers about their peers
    Monitor(Box<monitor::MonitorArgs>),
    /// Say whether a monitor can work here, and what to do where it cannot
    #[command(after_help = "Ends with 0 where a monitor works, 1 where it works in part, 2 where it cannot work.")]
    Doctor(doctor::DoctorArgs),
    /// Say whether the monitor here is ready, and why not
    Ready(ready::ReadyArgs),
    /// Subscribe and print what the monitor says about peers
    Watch(watch::WatchArgs),
    /// Watch this node's kernel and keep what decides verdicts about peers in a file
    Record(record::RecordArgs),
    /// Print the verdicts that follow from a recording
    Replay(replay::ReplayArgs),
}

#[derive(Debug, Args)]
struct SocketArgs {
    /// The monitor's socket
    #[arg(long, env = SOCKET_PATH_ENV, default_value = DEFAULT_SOCKET_PATH, value_name = "PATH")]
    socket: PathBuf,
}

/// Runs the command line of this process: 0 at a clean end, 1 when something is missing or fails, 2 when it cannot be
/// understood, or when the doctor finds that nothing works.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = log_to_stderr(&cli.log).and_then(|()| match cli.command {
        Command::Monitor(args) => monitor::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Watch(args) => watch::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Doctor(args) => doctor::run(&args),
        Command::Ready(args) => ready::run(&args),
        Command::Record(args) => record::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Replay(args) => replay::run(&args).map(|()| ExitCode::SUCCESS),
    });
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("obit: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn log_to_stderr(filter: &str) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(filter).map_err(|error| anyhow::anyhow!("--log {filter:?}: {error}"))?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    Ok(())
}

/// A number nobody else has: from the randomness the standard library keys its hash maps with.
fn random_token() -> u64 {
    RandomState::new().hash_one(std::process::id())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        super::Cli::command().debug_assert();
    }

    #[test]
    fn two_tokens_differ() {
        assert_ne!(super::random_token(), super::random_token());
    }
}
