//! A peer that vanishes under two established connections with a request in flight on each, and a subscriber that acts
//! on nothing but what the monitor says of them.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use obit_protocol::Verdict;
use obit_protocol::monitor_message::Message;
use serde::{Deserialize, Serialize};
use socket2::SockRef;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::session::{Session, peer_of};
use crate::bench::talk::{READY, whenever_told};
use crate::clock::monotonic_ns;
use crate::net::MARKED_TOS;

/// Connections to the peer: one alone may be at fault itself.
const CONNECTIONS: usize = 2;

/// Exchanges on each connection before the peer vanishes: a round-trip time is known then.
const EXCHANGES: usize = 20;

/// How long the verdict on both connections is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a peer's server is told.
#[derive(Debug, Clone, clap::Args)]
pub(in crate::bench) struct EchoArgs {
    /// Where it listens.
    #[arg(long)]
    listen: SocketAddr,
}

/// What the client is told.
#[derive(Debug, Clone, clap::Args)]
pub(in crate::bench) struct VanishArgs {
    /// The monitor's socket.
    #[arg(long)]
    socket: PathBuf,
    /// The peer. What carries [`MARKED_TOS`] does not reach it.
    #[arg(long)]
    peer: SocketAddr,
}

/// What became of one connection to a peer that vanished.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(in super::super) struct Vanished {
    /// From the first write nobody received to the verdict that this connection is dead, nanoseconds.
    pub dead_after_ns: u64,
    /// Segments this network namespace had sent again by then, those of the other connection included.
    pub sent_again: u64,
    /// How many connections had been called dead by then, this one included.
    pub dead: u64,
}

/// Sends back whatever comes.
pub(super) fn echo(args: &EchoArgs) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(args.listen)
            .await
            .with_context(|| format!("listen on {}", args.listen))?;
        println!("{READY}");
        loop {
            let (mut stream, _) = listener.accept().await?;
            tokio::spawn(async move {
                stream.set_nodelay(true)?;
                let (mut read, mut write) = stream.split();
                tokio::io::copy(&mut read, &mut write).await
            });
        }
    })
}

/// Each time it is told to go, lets the peer vanish once and says what became of each connection.
pub(super) fn run(args: &VanishArgs) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut session = runtime.block_on(async {
        let mut session = Session::open(&args.socket).await?;
        session.watch(&[args.peer]).await?;
        anyhow::Ok(session)
    })?;
    whenever_told(|| {
        runtime
            .block_on(async { tokio::time::timeout(PATIENCE, vanish(&mut session, args.peer)).await })
            .with_context(|| format!("the connections were not called dead within {PATIENCE:?}"))?
    })
}

async fn vanish(session: &mut Session, peer: SocketAddr) -> anyhow::Result<Vec<Vanished>> {
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut stream = TcpStream::connect(peer).await.context("connect")?;
        stream.set_nodelay(true)?;
        for _ in 0..EXCHANGES {
            stream.write_u8(0).await?;
            stream.read_u8().await?;
        }
        connections.push((SockRef::from(&stream).cookie()?, stream));
    }
    let sent_again_before = sent_again()?;
    let mut written_ns = Vec::new();
    for (cookie, stream) in &mut connections {
        SockRef::from(&*stream).set_tos_v4(MARKED_TOS)?;
        written_ns.push((*cookie, monotonic_ns()));
        stream.write_u8(0).await?;
    }
    let mut vanished = Vec::new();
    let mut called_dead = Vec::new();
    while vanished.len() < CONNECTIONS {
        let Message::Notice(notice) = session.next().await? else {
            continue;
        };
        let now_ns = monotonic_ns();
        let known = written_ns.iter().find(|(cookie, _)| *cookie == notice.socket_cookie);
        let (Some((cookie, since_ns)), Verdict::Dead) = (known, notice.verdict()) else {
            continue;
        };
        ensure!(peer_of(&notice)? == peer, "a notice about another peer's connection");
        if called_dead.contains(cookie) {
            continue;
        }
        called_dead.push(*cookie);
        vanished.push(Vanished {
            dead_after_ns: now_ns.saturating_sub(*since_ns),
            sent_again: sent_again()? - sent_again_before,
            dead: called_dead.len() as u64,
        });
    }
    for (_, stream) in connections {
        ensure!(stream.try_read(&mut [0]).is_err(), "the peer answered after all");
        SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
    }
    Ok(vanished)
}

/// Segments this process's network namespace has sent again (`Tcp: RetransSegs`, RFC 4022).
fn sent_again() -> anyhow::Result<u64> {
    let path = "/proc/self/net/snmp";
    let text = std::fs::read_to_string(path).context(path)?;
    match sent_again_of(&text) {
        Some(count) => Ok(count),
        None => bail!("{path} has no RetransSegs"),
    }
}

/// A line of names and under it a line of numbers.
fn sent_again_of(snmp: &str) -> Option<u64> {
    let mut lines = snmp.lines().filter(|line| line.starts_with("Tcp:"));
    let (names, numbers) = (lines.next()?, lines.next()?);
    let place = names.split_whitespace().position(|name| name == "RetransSegs")?;
    numbers.split_whitespace().nth(place)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_sent_again_are_found_by_name() {
        let snmp = "Ip: Forwarding\nIp: 1\nTcp: MaxConn InSegs RetransSegs InErrs\nTcp: -1 900 17 0\nUdp: InDatagrams\nUdp: 3\n";
        assert_eq!(sent_again_of(snmp), Some(17));
        assert_eq!(sent_again_of("Ip: Forwarding\nIp: 1\n"), None);
        assert!(sent_again().is_ok());
    }
}
