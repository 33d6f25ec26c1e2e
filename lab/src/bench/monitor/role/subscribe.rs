//! Subscribers: sessions that each watch their share of the block, and count what they are told.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use obit_protocol::monitor_message::Message;
use obit_protocol::{Notice, Verdict};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::sync::{mpsc, watch};

use super::session::{Session, peer_of};
use crate::bench::talk::READY;
use crate::net::block_peer;

/// Heartbeats after which everything that was lost before has been counted: the monitor counts once a second and says so
/// in the heartbeat after that.
const HEARTBEATS: u64 = 3;

/// What subscribers are told.
#[derive(Debug, Clone, clap::Args)]
pub(in crate::bench) struct SubscribeArgs {
    /// The monitor's socket.
    #[arg(long)]
    socket: PathBuf,
    /// How many of them.
    #[arg(long, default_value_t = 1)]
    sessions: u32,
    /// How many peers each watches.
    #[arg(long)]
    each: u32,
    /// Of how many peers altogether; the subscribers' shares follow one another and begin again when these are used up.
    #[arg(long)]
    peers: u32,
    /// The first of them, as a number in the block.
    #[arg(long, default_value_t = 0)]
    first: u32,
    /// The peers' port.
    #[arg(long)]
    port: u16,
}

/// What subscribers were told.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in super::super) struct Heard {
    /// Notices, those in snapshots included.
    pub notices: u64,
    /// Peers that were ever called alive.
    pub alive: u64,
    /// Peers that were ever called dead.
    pub dead: u64,
    /// Sightings the kernel half could not deliver, as the newest heartbeat says.
    pub lost: u64,
}

#[derive(Debug, Default)]
struct Counts {
    heard: Heard,
    alive: BTreeSet<SocketAddr>,
    dead: BTreeSet<SocketAddr>,
}

impl Counts {
    fn note(&mut self, notice: &Notice) -> anyhow::Result<()> {
        self.heard.notices += 1;
        match notice.verdict() {
            Verdict::Alive => self.alive.insert(peer_of(notice)?),
            Verdict::Dead => self.dead.insert(peer_of(notice)?),
            _ => false,
        };
        Ok(())
    }

    fn heard(&self) -> Heard {
        Heard {
            alive: self.alive.len() as u64,
            dead: self.dead.len() as u64,
            ..self.heard.clone()
        }
    }
}

type Shared = Arc<Mutex<Counts>>;

/// Subscribes and says ready; each line it is told is answered with a [`Heard`], as it is some heartbeats later.
pub(super) fn run(args: &SubscribeArgs) -> anyhow::Result<()> {
    make_room_for_descriptors(args.sessions)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let counts = Shared::default();
        let (beats, mut beaten) = watch::channel(0);
        let (broken, mut broke) = mpsc::channel(1);
        for number in 0..args.sessions {
            let session = subscribed(args, number, &counts).await?;
            let listening = listen(session, Arc::clone(&counts), (number == 0).then(|| beats.clone()));
            let broken = broken.clone();
            tokio::spawn(async move {
                // Of several that break the first says why.
                let _ = broken.try_send(listening.await);
            });
        }
        println!("{READY}");
        let answering = async {
            let mut asked = BufReader::new(tokio::io::stdin()).lines();
            while asked.next_line().await?.is_some() {
                let now = *beaten.borrow_and_update();
                beaten.wait_for(|beat| *beat >= now + HEARTBEATS).await?;
                let heard = counts.lock().unwrap_or_else(PoisonError::into_inner).heard();
                println!("{}", serde_json::to_string(&heard)?);
            }
            anyhow::Ok(())
        };
        tokio::select! {
            result = answering => result,
            error = broke.recv() => error.context("no session is left")?,
        }
    })
}

async fn subscribed(args: &SubscribeArgs, number: u32, counts: &Shared) -> anyhow::Result<Session> {
    let mut session = Session::open(&args.socket).await?;
    let share: Vec<_> = (0..args.each)
        .map(|peer| block_peer(args.first + (number * args.each + peer) % args.peers, args.port))
        .collect();
    let known = session.watch(&share).await?;
    let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
    for notice in &known {
        counts.note(notice)?;
    }
    Ok(session)
}

async fn listen(mut session: Session, counts: Shared, beats: Option<watch::Sender<u64>>) -> anyhow::Result<()> {
    loop {
        let message = session.next().await?;
        let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
        match message {
            Message::Notice(notice) => counts.note(&notice)?,
            Message::Heartbeat(heartbeat) => {
                counts.heard.lost = counts.heard.lost.max(heartbeat.lost);
                if let Some(beats) = &beats {
                    beats.send_modify(|beat| *beat += 1);
                }
            }
            _ => {}
        }
    }
}

/// Every session is a descriptor; the soft limit is 1 024 on most systems.
fn make_room_for_descriptors(sessions: u32) -> anyhow::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < u64::from(sessions) + 64) {
        let raised = Rlimit {
            current: limit.maximum,
            ..limit
        };
        setrlimit(Resource::Nofile, raised).context("raise the limit of open files")?;
    }
    Ok(())
}
