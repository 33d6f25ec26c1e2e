//! Reads the health of one peer of many, as a call does, again and again.

use std::hint::black_box;

use obit::{Feed, PeerWatch};

use super::runtime;
use crate::bench::stopwatch::Stopwatch;
use crate::bench::talk::whenever_told;
use crate::net::block_peer;

/// Peers in the map.
const PEERS: u32 = 1_000;

/// What the reader is told.
#[derive(Debug, Clone, clap::Args)]
pub(in crate::bench) struct ReadMapArgs {
    /// How many readings are timed.
    #[arg(long)]
    reads: u32,
}

/// Each time it is told to go: reads, and says how long it took.
pub(super) fn run(args: &ReadMapArgs) -> anyhow::Result<()> {
    let runtime = runtime()?;
    let _inside = runtime.enter();
    let feed = Feed::offline();
    let watches: Vec<PeerWatch> = (0..PEERS).map(|number| feed.watch(block_peer(number, 80))).collect();
    whenever_told(|| {
        let watch = Stopwatch::start();
        for (_, peer) in (0..args.reads).zip(watches.iter().cycle()) {
            black_box(black_box(peer).health());
        }
        Ok(watch.done(args.reads.into()))
    })
}
