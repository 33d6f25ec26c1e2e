//! The churn: connect, accept, close, one connection after the other on one thread and one processor. The shortest life
//! a connection can have, so that the monitor's share of it is the greatest.

use std::io::Read as _;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};

use anyhow::{Context as _, ensure};

use super::processor;
use crate::bench::stopwatch::Stopwatch;
use crate::bench::talk::whenever_told;

/// Closed connections are forgotten at once: otherwise each run would wait for the ports of the one before, and pay for
/// the table they fill. Of this network namespace alone.
const TIME_WAIT_LIMIT: &str = "/proc/sys/net/ipv4/tcp_max_tw_buckets";

/// What the churn is told.
#[derive(Debug, Clone, clap::Args)]
pub(in crate::bench) struct ChurnArgs {
    /// Whom to connect to: an address of this host.
    #[arg(long)]
    peer: SocketAddr,
    /// Connections a run.
    #[arg(long)]
    count: u64,
}

pub(super) fn run(args: &ChurnArgs) -> anyhow::Result<()> {
    processor::stay_on_the_first()?;
    std::fs::write(TIME_WAIT_LIMIT, "0").context(TIME_WAIT_LIMIT)?;
    let listener = TcpListener::bind(args.peer).with_context(|| format!("listen on {}", args.peer))?;
    whenever_told(|| {
        let watch = Stopwatch::start();
        for number in 0..args.count {
            one(&listener, args.peer).with_context(|| format!("connection {number} of {}", args.count))?;
        }
        Ok(watch.done(args.count))
    })
}

/// The client says goodbye first and hears it back, as a client that is done with a connection does.
fn one(listener: &TcpListener, peer: SocketAddr) -> anyhow::Result<()> {
    let mut client = TcpStream::connect(peer)?;
    let (mut server, _) = listener.accept()?;
    client.shutdown(Shutdown::Write)?;
    ensure!(server.read(&mut [0])? == 0, "the client said something");
    drop(server);
    ensure!(client.read(&mut [0])? == 0, "the server said something");
    Ok(())
}
