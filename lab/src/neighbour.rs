//! Somebody else on the client's node: dials a pod all the time, and holds a few of the connections it gets.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// The pause between two dials.
const PAUSE: Duration = Duration::from_millis(50);

/// How long a dial may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// Connections it holds: more than wait to be accepted where nobody accepts.
const HELD: usize = 8;

/// Whom it dials.
#[derive(Debug, Clone, clap::Args)]
pub struct NeighbourArgs {
    /// The process that must outlive this one.
    #[arg(long)]
    pub parent: u32,
    /// The pod.
    #[arg(long)]
    pub dial: SocketAddr,
}

/// Dials until it is killed. Prints `ready` after the first dial that was answered.
///
/// # Errors
/// When its parent is gone.
pub fn run(args: &NeighbourArgs) -> anyhow::Result<()> {
    crate::child::die_with_parent(args.parent)?;
    let pod = args.dial;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut held = VecDeque::from([TcpStream::connect(pod).await?]);
        println!("ready");
        let mut dials = JoinSet::new();
        let mut ticks = tokio::time::interval(PAUSE);
        loop {
            tokio::select! {
                _ = ticks.tick() => {
                    dials.spawn(tokio::time::timeout(PATIENCE, TcpStream::connect(pod)));
                }
                Some(dialled) = dials.join_next() => {
                    // What becomes of a dial is for the monitor to see.
                    if let Ok(Ok(Ok(stream))) = dialled {
                        held.push_back(stream);
                    }
                    if held.len() > HELD {
                        held.pop_front();
                    }
                }
            }
        }
    })
}
