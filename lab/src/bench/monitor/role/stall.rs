//! Dials that nobody answers, each to a peer that was alive a moment before, and a subscriber that waits for the suspicion.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use obit_protocol::Verdict;
use serde::{Deserialize, Serialize};
use socket2::SockRef;
use tokio::net::{TcpSocket, TcpStream};

use super::session::Session;
use crate::bench::talk::READY;
use crate::clock::monotonic_ns;
use crate::latency::FIRST_PORT;

/// The first source port of dials that the peer never answers (see [`crate::net::stall_marked_dials`]).
const FIRST_MARKED_PORT: u16 = 20_000;

/// How long a verdict is waited for.
const PATIENCE: Duration = Duration::from_secs(1);

/// What the dialler is told.
#[derive(Debug, Clone, clap::Args)]
pub(in crate::bench) struct StallArgs {
    /// The monitor's socket.
    #[arg(long)]
    socket: PathBuf,
    /// This host's address.
    #[arg(long)]
    address: Ipv4Addr,
    /// The peers' address: each is a port of it.
    #[arg(long)]
    peer: Ipv4Addr,
    /// How many peers.
    #[arg(long)]
    count: u16,
    /// For the pauses.
    #[arg(long)]
    seed: u64,
}

/// One stall.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(in super::super) struct Stalled {
    /// From the moment the threshold ran out to the suspicion in hand, nanoseconds.
    pub late_ns: u64,
    /// From the dial to the suspicion in hand, nanoseconds.
    pub after_ns: u64,
}

/// Says ready; then, for each line it is told, lets the next peer stall and says what came of it.
pub(super) fn run(args: &StallArgs) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut random = fastrand::Rng::with_seed(args.seed);
        println!("{READY}");
        for number in 0..args.count {
            let peer = SocketAddr::from((args.peer, FIRST_PORT + number));
            let marked = SocketAddr::from((args.address, FIRST_MARKED_PORT + number));
            let stalled = stall(&args.socket, peer, marked)
                .await
                .with_context(|| format!("the stall of {peer}"))?;
            println!("{}", serde_json::to_string(&stalled)?);
            // Not in step with any timer of the monitor.
            let pause = Duration::from_micros(random.u64(5_000..15_000));
            tokio::time::sleep(pause).await;
        }
        Ok(())
    })
}

/// Each on a session of its own: a stall speaks against the whole address, and falls of one peer are announced to a session
/// once a second.
async fn stall(socket: &Path, peer: SocketAddr, marked: SocketAddr) -> anyhow::Result<Stalled> {
    let mut session = Session::open(socket).await?;
    session.watch(&[peer]).await?;
    greet(&mut session, peer).await?;
    let socket = TcpSocket::new_v4()?;
    socket.bind(marked).with_context(|| format!("bind {marked}"))?;
    let dialled_ns = monotonic_ns();
    let stalled = tokio::select! {
        dialled = socket.connect(peer) => bail!("the dial was answered: {dialled:?}"),
        told = session.told(peer, &[Verdict::Suspect, Verdict::Dead], PATIENCE) => {
            let told = told?.context("no suspicion")?;
            Stalled {
                late_ns: told.late_ns(),
                after_ns: told.handled_ns.saturating_sub(dialled_ns),
            }
        }
    };
    // Nothing is left against the address when the next one's turn comes.
    greet(&mut session, peer).await?;
    Ok(stalled)
}

/// A handshake that the monitor answers for.
async fn greet(session: &mut Session, peer: SocketAddr) -> anyhow::Result<()> {
    let stream = TcpStream::connect(peer).await?;
    let told = session.told(peer, &[Verdict::Alive], PATIENCE).await?;
    told.context("no word that the peer is alive")?;
    SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
    Ok(())
}
