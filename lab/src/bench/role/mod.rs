//! The bench's own processes: this binary again, each with one role inside a namespace. They speak in lines: what
//! they are told on standard input, what came of it as JSON on standard output. None outlives the bench.

mod churn;
mod exchange;
mod greet;
mod mourn;
mod processor;
mod session;
mod spin;
mod stall;
mod stopwatch;
mod storm;
mod subscribe;
mod vanish;

use std::io::BufRead as _;

use serde::Serialize;

pub(super) use mourn::Mourned;
pub(super) use stall::Stalled;
pub(super) use subscribe::Heard;
pub(super) use vanish::Vanished;

/// The word that starts a measured run.
pub(super) const GO: &str = "go";

/// What a role says once it can be told to go.
pub(super) const READY: &str = "ready";

/// What every role is told.
#[derive(Debug, Clone, clap::Args)]
pub struct RoleArgs {
    /// The process that must outlive this one.
    #[arg(long)]
    parent: u32,
    /// Which role.
    #[command(subcommand)]
    role: Role,
}

#[derive(Debug, Clone, clap::Subcommand)]
enum Role {
    /// Connects and closes.
    Churn(churn::ChurnArgs),
    /// Asks and answers on established connections.
    Exchange(exchange::ExchangeArgs),
    /// Shakes hands with many peers once.
    Greet(greet::GreetArgs),
    /// Subscribes, with one session or a thousand.
    Subscribe(subscribe::SubscribeArgs),
    /// Dials peers that refuse, as fast as it is told.
    Storm(storm::StormArgs),
    /// Lets peers die one at a time and waits for each verdict.
    Mourn(mourn::MournArgs),
    /// Dials peers that do not answer.
    Stall(stall::StallArgs),
    /// Keeps every processor busy.
    Spin,
    /// Lets a peer vanish under established connections.
    Vanish(vanish::VanishArgs),
    /// Sends back whatever comes.
    Echo(vanish::EchoArgs),
}

/// Plays a role until its standard input ends or it is killed.
///
/// # Errors
/// When something is not as the role claims it: a connection that fails, a monitor that hangs up.
pub fn run(args: &RoleArgs) -> anyhow::Result<()> {
    crate::child::die_with_parent(args.parent)?;
    match &args.role {
        Role::Churn(args) => churn::run(args),
        Role::Exchange(args) => exchange::run(args),
        Role::Greet(args) => greet::run(args),
        Role::Subscribe(args) => subscribe::run(args),
        Role::Storm(args) => storm::run(args),
        Role::Mourn(args) => mourn::run(args),
        Role::Stall(args) => stall::run(args),
        Role::Spin => spin::run(),
        Role::Vanish(args) => vanish::run(args),
        Role::Echo(args) => vanish::echo(args),
    }
}

/// Says ready, then runs `measured` each time it is told to go, and says what came of it.
fn whenever_told<T: Serialize>(mut measured: impl FnMut() -> anyhow::Result<T>) -> anyhow::Result<()> {
    println!("{READY}");
    for line in std::io::stdin().lock().lines() {
        anyhow::ensure!(line? == GO, "told something else than {GO:?}");
        println!("{}", serde_json::to_string(&measured()?)?);
    }
    Ok(())
}
