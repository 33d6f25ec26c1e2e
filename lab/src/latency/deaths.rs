//! The client of the latency scenario: one death after another, each of a peer address of its own that was alive a
//! moment before, each noticed by a task that waits on an [`obit::PeerWatch`] as a pool does.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use obit::{Feed, Health, PeerWatch, Verdict};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use super::bare::Bare;
use super::peer::{CLOSE, RESET, STOP_LISTENING, STOPPED};
use super::{Death, FIRST_PORT, Kind};
use crate::clock::monotonic_ns;

/// How long a verdict is waited for.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long a sign of life may take before the peer is dialled again: the first dial may have come before the monitor
/// knew that anyone asks about this peer.
const AGAIN: Duration = Duration::from_millis(20);

/// The longest pause between two deaths: each finds the machine quiet again, and none falls into step with a timer.
const LONGEST_PAUSE_MS: u64 = 20;

/// The first source port of dials that the stall peer never answers (see [`crate::net::stall_marked_dials`]).
const FIRST_MARKED_PORT: u16 = 20_000;

/// What the client is told.
#[derive(Debug, Clone, clap::Args)]
pub struct DeathsArgs {
    /// The process that must outlive this one.
    #[arg(long)]
    pub parent: u32,
    /// The monitor's socket.
    #[arg(long)]
    pub socket: PathBuf,
    /// This host's address.
    #[arg(long)]
    pub address: Ipv4Addr,
    /// The peers, one for each kind of death.
    #[arg(long = "peer", required = true)]
    pub peers: Vec<Ipv4Addr>,
    /// How many deaths of each kind.
    #[arg(long)]
    pub trials: u16,
    /// For the pauses.
    #[arg(long)]
    pub seed: u64,
}

/// Lets peers die and prints each [`Death`] as a line of JSON.
///
/// # Errors
/// When there is no monitor, or a peer does not do as it is told.
pub fn run(args: &DeathsArgs) -> anyhow::Result<()> {
    crate::child::die_with_parent(args.parent)?;
    ensure!(args.peers.len() == Kind::ALL.len(), "one peer for each kind of death");
    // As most applications run: tokio's multi-threaded runtime.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let feed = Feed::connect(&args.socket);
        let mut bare = Bare::start()?;
        let mut random = fastrand::Rng::with_seed(args.seed);
        for trial in 0..args.trials {
            for (kind, address) in Kind::ALL.into_iter().zip(&args.peers) {
                let peer = SocketAddr::from((*address, FIRST_PORT + trial));
                let marked = SocketAddr::from((args.address, FIRST_MARKED_PORT + trial));
                // On a task: what is measured ends on a worker thread, as a pool's does.
                let late = tokio::spawn(die(feed.clone(), kind, peer, marked)).await?;
                let late_ns = late.with_context(|| format!("{} {peer}", kind.name()))?;
                let (ended, bare_ns) = tokio::spawn(async move {
                    let bare_ns = bare.wake_up_ns().await;
                    (bare, bare_ns)
                })
                .await?;
                bare = ended;
                let bare_ns = bare_ns.context("the bare wake-up")?;
                println!("{}", serde_json::to_string(&Death { kind, late_ns, bare_ns })?);
                tokio::time::sleep(Duration::from_millis(random.u64(5..=LONGEST_PAUSE_MS))).await;
            }
        }
        Ok(())
    })
}

/// One death of `peer`: from the kernel's event to the verdict in hand, nanoseconds; `None` if none came.
async fn die(feed: Feed, kind: Kind, peer: SocketAddr, marked: SocketAddr) -> anyhow::Result<Option<u64>> {
    let mut watch = feed.watch(peer);
    let mut stream = alive(&mut watch, peer).await?;
    let since_ns = monotonic_ns();
    let verdict = match kind {
        Kind::Refused => {
            stream.write_all(&[STOP_LISTENING]).await?;
            ensure!(stream.read_u8().await? == STOPPED, "the peer goes on listening");
            leave(stream);
            let since_ns = monotonic_ns();
            let error = TcpStream::connect(peer).await.err().map(|error| error.kind());
            ensure!(
                error == Some(std::io::ErrorKind::ConnectionRefused),
                "the dial ended with {error:?}"
            );
            bad(&mut watch, since_ns).await
        }
        Kind::Reset | Kind::Closed => {
            stream
                .write_all(&[if kind == Kind::Reset { RESET } else { CLOSE }])
                .await?;
            let verdict = bad(&mut watch, since_ns).await;
            let read = stream.read_u8().await.map_err(|error| error.kind());
            let expected = match kind {
                Kind::Reset => std::io::ErrorKind::ConnectionReset,
                _ => std::io::ErrorKind::UnexpectedEof,
            };
            ensure!(read == Err(expected), "the connection ended with {read:?}");
            verdict
        }
        Kind::Stalled => {
            leave(stream);
            let socket = TcpSocket::new_v4()?;
            socket.bind(marked).with_context(|| format!("bind {marked}"))?;
            tokio::select! {
                dialled = socket.connect(peer) => bail!("the dial was answered: {dialled:?}"),
                verdict = bad(&mut watch, since_ns) => verdict,
            }
        }
    };
    Ok(verdict.map(|(health, handled_ns)| handled_ns.saturating_sub(health.kernel_ns)))
}

/// Dials until the peer is known to be alive; the open connection.
async fn alive(watch: &mut PeerWatch, peer: SocketAddr) -> anyhow::Result<TcpStream> {
    // Of the first handshake that is news: the monitor does not say twice that a peer is alive.
    let since_ns = monotonic_ns();
    let dialling = async {
        loop {
            let stream = TcpStream::connect(peer).await?;
            let told = until(watch, |health| {
                health.verdict == Verdict::Alive && health.kernel_ns >= since_ns
            });
            if tokio::time::timeout(AGAIN, told).await.is_ok() {
                return anyhow::Ok(stream);
            }
            leave(stream);
        }
    };
    let result = tokio::time::timeout(10 * PATIENCE, dialling).await;
    result.context("no monitor said that the peer is alive")?
}

/// The verdict against the peer and when it was handled; `None` if none comes.
async fn bad(watch: &mut PeerWatch, since_ns: u64) -> Option<(Health, u64)> {
    let told = until(watch, |health| {
        matches!(health.verdict, Verdict::Suspect | Verdict::Dead) && health.kernel_ns >= since_ns
    });
    tokio::time::timeout(PATIENCE, told).await.ok()
}

/// Waits for a health that `fits`; with the time at which this task had it in hand.
async fn until(watch: &mut PeerWatch, fits: impl Fn(&Health) -> bool) -> (Health, u64) {
    loop {
        let health = watch.changed().await;
        let handled_ns = monotonic_ns();
        if fits(&health) {
            return (health, handled_ns);
        }
    }
}

/// Ends a connection from this side, at once: no evidence against the peer.
fn leave(stream: TcpStream) {
    let _ = socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO));
}
