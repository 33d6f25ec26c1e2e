//! One handshake with each of many peers, so that a monitor has something to remember of each.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::Context as _;

use crate::bench::stopwatch::Stopwatch;
use crate::bench::talk::whenever_told;
use crate::net::block_peer;

/// What the greeting is told.
#[derive(Debug, Clone, clap::Args)]
pub(in crate::bench) struct GreetArgs {
    /// How many peers of the block, from its first on.
    #[arg(long)]
    peers: u32,
    /// Their port.
    #[arg(long)]
    port: u16,
}

pub(super) fn run(args: &GreetArgs) -> anyhow::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, args.port)).context("listen")?;
    whenever_told(|| {
        let watch = Stopwatch::start();
        for number in 0..args.peers {
            let peer = block_peer(number, args.port);
            let client = TcpStream::connect(peer).with_context(|| format!("connect to {peer}"))?;
            let (_server, _) = listener.accept()?;
            // The client leaves first: a peer that hangs up would be suspected.
            socket2::SockRef::from(&client).set_linger(Some(Duration::ZERO))?;
            drop(client);
        }
        Ok(watch.done(args.peers.into()))
    })
}
