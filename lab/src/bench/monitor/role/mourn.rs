//! Peers that die one at a time, each alive a moment before, and a subscriber that waits for the verdict on each.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use obit_protocol::Verdict;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::processor::before_ordinary_threads;
use super::session::Session;
use crate::bench::talk::READY;
use crate::net::block_peer;

/// How long a verdict is waited for. One that does not come counts as late by as much.
const PATIENCE: Duration = Duration::from_secs(1);

/// What the mourner is told.
#[derive(Debug, Clone, clap::Args)]
pub(in crate::bench) struct MournArgs {
    /// The monitor's socket.
    #[arg(long)]
    socket: PathBuf,
    /// How many peers of the block to watch, from its first on.
    #[arg(long)]
    peers: u32,
    /// The first that dies, as a number in the block.
    #[arg(long)]
    first: u32,
    /// The port of those that die.
    #[arg(long)]
    port: u16,
    /// For the pauses.
    #[arg(long)]
    seed: u64,
    /// Run before every ordinary thread: what is timed is then the monitor, not this process's turn on a busy processor.
    #[arg(long)]
    before_others: bool,
}

/// One death.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(in super::super) struct Mourned {
    /// From the kernel's event to the verdict in hand, nanoseconds; as long as it was waited for if none came.
    pub late_ns: u64,
    /// Whether no verdict came.
    pub missed: bool,
}

/// Says ready; each line it is told is a number of peers that die, each answered with a [`Mourned`].
pub(super) fn run(args: &MournArgs) -> anyhow::Result<()> {
    if args.before_others {
        before_ordinary_threads()?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut session = Session::open(&args.socket).await?;
        let watched: Vec<_> = (0..args.peers).map(|number| block_peer(number, args.port)).collect();
        session.watch(&watched).await?;
        println!("{READY}");
        let mut random = fastrand::Rng::with_seed(args.seed);
        let mut numbers = args.first..args.peers;
        let mut told = BufReader::new(tokio::io::stdin()).lines();
        while let Some(deaths) = told.next_line().await? {
            for _ in 0..deaths.parse().context("how many die")? {
                let number = numbers.next().context("every peer is dead already")?;
                let mourned = die(&mut session, block_peer(number, args.port)).await?;
                println!("{}", serde_json::to_string(&mourned)?);
                // Not in step with any timer of the monitor.
                let pause = Duration::from_micros(random.u64(5_000..15_000));
                session.listen_during(pause).await?;
            }
        }
        Ok(())
    })
}

async fn die(session: &mut Session, peer: SocketAddr) -> anyhow::Result<Mourned> {
    let missed = Mourned {
        late_ns: u64::try_from(PATIENCE.as_nanos())?,
        missed: true,
    };
    let listener = TcpListener::bind(peer)
        .await
        .with_context(|| format!("listen on {peer}"))?;
    let connection = TcpStream::connect(peer).await.context("a living peer")?;
    if session.told(peer, &[Verdict::Alive], PATIENCE).await?.is_none() {
        return Ok(missed);
    }
    drop((connection, listener));
    let error = TcpStream::connect(peer).await.err().map(|error| error.kind());
    ensure!(
        error == Some(ErrorKind::ConnectionRefused),
        "a dial to a dead peer ended with {error:?}"
    );
    let told = session.told(peer, &[Verdict::Dead], PATIENCE).await?;
    Ok(told.map_or(missed, |told| Mourned {
        late_ns: told.late_ns(),
        missed: false,
    }))
}
