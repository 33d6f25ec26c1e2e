//! Request and response on established connections, both ends on one thread and one processor.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};

use anyhow::Context as _;

use super::processor;
use crate::bench::stopwatch::Stopwatch;
use crate::bench::talk::whenever_told;

/// Connections that take turns.
const CONNECTIONS: usize = 8;

/// The size of a request and of a response.
const BYTES: usize = 64;

/// What the exchange is told.
#[derive(Debug, Clone, clap::Args)]
pub(in crate::bench) struct ExchangeArgs {
    /// Whom to connect to: an address of this host.
    #[arg(long)]
    peer: SocketAddr,
    /// Exchanges a run.
    #[arg(long)]
    count: u64,
}

pub(super) fn run(args: &ExchangeArgs) -> anyhow::Result<()> {
    processor::stay_on_the_first()?;
    let listener = TcpListener::bind(args.peer).with_context(|| format!("listen on {}", args.peer))?;
    whenever_told(|| {
        // Anew for each run: a monitor knows the connections it saw begin.
        let mut connections = (0..CONNECTIONS)
            .map(|_| connected(&listener, args.peer))
            .collect::<Result<Vec<_>, _>>()
            .context("connect")?;
        let watch = Stopwatch::start();
        for (_, turn) in (0..args.count).zip((0..CONNECTIONS).cycle()) {
            let (client, server) = &mut connections[turn];
            let mut bytes = [0; BYTES];
            client.write_all(&bytes)?;
            server.read_exact(&mut bytes)?;
            server.write_all(&bytes)?;
            client.read_exact(&mut bytes)?;
        }
        Ok(watch.done(args.count))
    })
}

fn connected(listener: &TcpListener, peer: SocketAddr) -> std::io::Result<(TcpStream, TcpStream)> {
    let client = TcpStream::connect(peer)?;
    let (server, _) = listener.accept()?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    Ok((client, server))
}
