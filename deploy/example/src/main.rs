//! `obit-example`: see [`obit_example`].

use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use obit_example::{CallArgs, ResolveArgs, ServeArgs};
use tracing_subscriber::EnvFilter;

#[derive(Debug, Parser)]
#[command(
    name = "obit-example",
    version,
    about = "A gRPC service and its callers, with obit's client and with others."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// What to log to stderr, as in RUST_LOG: "info", "obit=debug"
    #[arg(long, global = true, env = "RUST_LOG", default_value = "info", value_name = "FILTER")]
    log: String,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Answer calls with this pod's name
    Serve(ServeArgs),
    /// Call a service until told to end, and print each second what came of it
    Call(CallArgs),
    /// Print the addresses that DNS has for a service
    Resolve(ResolveArgs),
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter = match EnvFilter::try_new(&cli.log) {
        Ok(filter) => filter,
        Err(error) => return failed(&anyhow::anyhow!("--log {:?}: {error}", cli.log)),
    };
    let terminal = std::io::stderr().is_terminal();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(terminal)
        .init();
    let done = match cli.command {
        Command::Serve(args) => obit_example::serve(&args).await,
        Command::Call(args) => obit_example::call(&args).await,
        Command::Resolve(args) => obit_example::resolve(&args).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

fn failed(error: &anyhow::Error) -> ExitCode {
    eprintln!("obit-example: {error:#}");
    ExitCode::FAILURE
}
