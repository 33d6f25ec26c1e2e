//! What the processes of the monitor's bench do.

mod churn;
mod exchange;
mod greet;
mod mourn;
mod processor;
mod session;
mod spin;
mod stall;
mod storm;
mod subscribe;
mod vanish;

pub(super) use mourn::Mourned;
pub(super) use stall::Stalled;
pub(super) use subscribe::Heard;
pub(super) use vanish::Vanished;

/// What a process of the monitor's bench does.
#[derive(Debug, Clone, clap::Subcommand)]
pub(in crate::bench) enum Role {
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

impl Role {
    /// Plays the role until its standard input ends or it is killed.
    ///
    /// # Errors
    /// When something is not as the role claims it: a connection that fails, a monitor that hangs up.
    pub(in crate::bench) fn play(&self) -> anyhow::Result<()> {
        match self {
            Self::Churn(args) => churn::run(args),
            Self::Exchange(args) => exchange::run(args),
            Self::Greet(args) => greet::run(args),
            Self::Subscribe(args) => subscribe::run(args),
            Self::Storm(args) => storm::run(args),
            Self::Mourn(args) => mourn::run(args),
            Self::Stall(args) => stall::run(args),
            Self::Spin => spin::run(),
            Self::Vanish(args) => vanish::run(args),
            Self::Echo(args) => vanish::echo(args),
        }
    }
}
