//! The callers: each calls again and again, and what comes of it is printed each second.

mod client;
mod journal;
mod tally;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval_at};
use tonic::Status;

use crate::clock;
use crate::lines::Line;

use client::Client;
pub use client::ClientKind;
use journal::{Journal, print};

/// A call that was not answered for so long has failed, whatever its client thinks of it. None of the clients sets a bound of its own
/// to a call by default, and neither does this program but for this.
const GUARD: Duration = Duration::from_secs(30);

/// What callers are told.
#[derive(Debug, Clone, clap::Args)]
pub struct CallArgs {
    /// Which client calls
    #[arg(long, value_enum, default_value_t = ClientKind::Obit)]
    client: ClientKind,
    /// The service that is called
    #[arg(long, value_name = "NAME", required_unless_present = "origin")]
    service: Option<String>,
    /// The service's namespace
    #[arg(long, default_value = "default", value_name = "NAME")]
    namespace: String,
    /// The pods' port by number or, with the client `obit`, by name
    #[arg(long, default_value = "50051", value_name = "PORT")]
    port: String,
    /// Whom to call, in place of service, namespace and port: `http://HOST:PORT`
    #[arg(long, value_name = "ORIGIN", conflicts_with_all = ["service", "namespace", "port"])]
    origin: Option<String>,
    /// How many call at the same time
    #[arg(long, default_value_t = 20, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    callers: u32,
    /// How many calls a second all callers make together, at most; without it each calls again once it is answered
    #[arg(long, value_name = "CALLS", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// How long to call, seconds; without it until SIGTERM or SIGINT
    #[arg(long = "for", value_name = "SECONDS")]
    seconds: Option<u64>,
}

/// Calls, and prints [lines](crate::lines) to standard output, until the time is over or a signal ends it.
///
/// # Errors
/// When what it is told names no service.
pub async fn call(args: &CallArgs) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM cannot be heard")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT cannot be heard")?;
    let target = match (&args.origin, &args.service) {
        (Some(origin), _) => origin.clone(),
        (None, Some(service)) => args.client.target(service, &args.namespace, &args.port)?,
        (None, None) => anyhow::bail!("whom to call? --service NAME, or --origin ORIGIN"),
    };
    let client = Client::new(args.client, &target)?;
    print(&Line::Start {
        client: args.client.name().to_owned(),
        target,
        at_ms: clock::unix_ms(),
    });
    let journal = Arc::new(Mutex::new(Journal::new(args.callers as usize)));
    let mut callers = JoinSet::new();
    for caller in 0..args.callers {
        let pace = args.rate.map(|rate| pace(caller, args.callers, rate));
        callers.spawn(calls(caller as usize, client.clone(), pace, journal.clone()));
    }
    let seconds = async {
        let second = Duration::from_secs(1);
        let mut seconds = interval_at(clock::now() + second, second);
        let last = args.seconds.unwrap_or(u64::MAX);
        for _ in 0..last {
            seconds.tick().await;
            let line = lock(&journal).second(clock::now(), clock::unix_ms());
            print(&line);
        }
    };
    tokio::select! {
        () = seconds => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    let line = lock(&journal).end(clock::now(), clock::unix_ms());
    print(&line);
    callers.shutdown().await;
    Ok(())
}

/// When a caller's first turn comes, and how long it is to the next: the callers' turns are spread evenly.
fn pace(caller: u32, callers: u32, rate: u32) -> (Duration, Duration) {
    let turn = Duration::from_secs(1) / rate;
    (turn * caller, turn * callers)
}

/// One caller, who does not come back. A turn that comes while it waits for an answer is left out.
async fn calls(caller: usize, mut client: Client, pace: Option<(Duration, Duration)>, journal: Arc<Mutex<Journal>>) {
    let mut turns = pace.map(|(first, period)| {
        let mut turns = interval_at(clock::now() + first, period);
        turns.set_missed_tick_behavior(MissedTickBehavior::Skip);
        turns
    });
    loop {
        if let Some(turns) = &mut turns {
            turns.tick().await;
        }
        lock(&journal).began(caller, clock::now());
        let result = match tokio::time::timeout(GUARD, client.greet()).await {
            Ok(answer) => answer.map_err(|status| describe(&status)),
            Err(_) => Err(format!("no answer within {GUARD:?}")),
        };
        let failed = result.is_err();
        let met = lock(&journal).ended(caller, &result, clock::now(), clock::unix_ms());
        if let Some(line) = met {
            print(&line);
        }
        if failed {
            // A client that fails at once is not asked thousands of times a second.
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// A failure's code, message and causes.
fn describe(status: &Status) -> String {
    let mut text = format!("{:?}: {}", status.code(), status.message());
    let mut cause = std::error::Error::source(status);
    while let Some(error) = cause {
        text.push_str(&format!(" <- {error}"));
        cause = error.source();
    }
    text
}

fn lock(journal: &Mutex<Journal>) -> MutexGuard<'_, Journal> {
    journal.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_spread_evenly() {
        let ms = Duration::from_millis;
        assert_eq!(pace(0, 20, 200), (ms(0), ms(100)));
        assert_eq!(pace(19, 20, 200), (ms(95), ms(100)));
        assert_eq!(pace(3, 4, 1), (ms(3_000), ms(4_000)));
    }
}
