//! The storm: dials that are refused, from several threads, as many a second as it is told. Each is two sightings, the
//! dial that begins and the refusal.

use std::io::{BufRead as _, ErrorKind};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail};

use crate::bench::stopwatch::Stopwatch;
use crate::bench::talk::{GO, READY};
use crate::net::block_peer;

/// How long a thread rests once it has made the dials that are due.
const REST: Duration = Duration::from_micros(200);

/// A storm nobody ends ends itself.
const BOUND_NS: u64 = 60_000_000_000;

/// What the storm is told.
#[derive(Debug, Clone, clap::Args)]
pub(in crate::bench) struct StormArgs {
    /// How many peers of the block refuse.
    #[arg(long)]
    peers: u32,
    /// The first of them, as a number in the block.
    #[arg(long)]
    first: u32,
    /// Their port: nobody listens on it.
    #[arg(long)]
    port: u16,
    /// Dial each of them once and end, instead of going on until told otherwise.
    #[arg(long)]
    once: bool,
    /// Dials a second, of all threads together.
    #[arg(long)]
    rate: u64,
    /// Threads.
    #[arg(long)]
    threads: u32,
}

/// Says ready; storms from "go" to the next line, or once around, and says how many dials it made.
pub(super) fn run(args: &StormArgs) -> anyhow::Result<()> {
    println!("{READY}");
    let mut told = std::io::stdin().lock().lines();
    anyhow::ensure!(told.next().context("never told to go")?? == GO);
    let over = AtomicBool::new(false);
    let watch = Stopwatch::start();
    let counts = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..args.threads)
            .map(|number| {
                let (over, watch) = (&over, &watch);
                scope.spawn(move || {
                    let count = rage(args, number, watch, over);
                    // One that fails ends the others.
                    over.fetch_or(count.is_err(), Ordering::Relaxed);
                    count
                })
            })
            .collect();
        if !args.once {
            let _ = told.next();
            over.store(true, Ordering::Relaxed);
        }
        threads
            .into_iter()
            .map(|thread| thread.join().map_err(|_| anyhow::anyhow!("a thread panicked"))?)
            .collect::<anyhow::Result<Vec<u64>>>()
    })?;
    let done = watch.done(counts.iter().sum());
    println!("{}", serde_json::to_string(&done)?);
    Ok(())
}

/// One thread's share of the storm; how many dials it made.
#[expect(clippy::disallowed_methods, reason = "a rate is kept by resting between dials")]
fn rage(args: &StormArgs, number: u32, watch: &Stopwatch, over: &AtomicBool) -> anyhow::Result<u64> {
    let mut count = 0;
    while !over.load(Ordering::Relaxed) {
        let elapsed_ns = watch.elapsed_ns();
        if elapsed_ns > BOUND_NS {
            bail!("nobody ended the storm");
        }
        if count >= due(args.rate, args.threads, elapsed_ns) {
            std::thread::sleep(REST);
            continue;
        }
        // The threads take turns through the peers, so that each is dialled as often as the others.
        let turn = count * u64::from(args.threads) + u64::from(number);
        if args.once && turn >= u64::from(args.peers) {
            break;
        }
        let peer = block_peer(args.first + u32::try_from(turn % u64::from(args.peers))?, args.port);
        match TcpStream::connect(peer) {
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => count += 1,
            other => bail!("a dial to {peer}, where nobody listens, ended with {other:?}"),
        }
    }
    Ok(count)
}

/// How many dials one of `threads` should have made after `elapsed_ns`.
fn due(rate: u64, threads: u32, elapsed_ns: u64) -> u64 {
    let all = u128::from(rate) * u128::from(elapsed_ns) / 1_000_000_000;
    u64::try_from(all / u128::from(threads.max(1))).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_share_the_rate() {
        assert_eq!(due(25_000, 2, 1_000_000_000), 12_500);
        assert_eq!(due(25_000, 1, 40_000), 1);
        assert_eq!(due(u64::MAX, 1, u64::MAX), u64::MAX);
    }
}
