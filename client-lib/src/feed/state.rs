//! The subscription as a state machine: what to ask the monitor, and what its answers change. Pure: no socket, no clock.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;

use obit_protocol::{Notice, PeerError, Snapshot, Watch};

use super::link::Arrival;
use super::wire;
use crate::Health;

/// Peers in one `Watch`. One `Snapshot` answers it: 512 notices of at most 72 bytes stay well below the 64 KiB of a frame.
pub(super) const PEERS_PER_WATCH: usize = 512;

/// What a monitor accepts from one subscriber (its default).
pub(super) const MAX_WATCHED_PEERS: usize = 16_384;

/// What an answer of the monitor changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// The newest health of a peer.
    Peer {
        peer: SocketAddr,
        health: Health,
        arrival: Arrival,
    },
    /// The newest health of one connection, by its `SO_COOKIE`.
    Connection { cookie: u64, health: Health },
}

/// A message that breaks the protocol: whoever sent it is not to be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Violation {
    #[error("a notice names no peer")]
    NoPeer,
    #[error("a notice names an unusable peer: {0}")]
    Peer(#[from] PeerError),
    #[error("a second Welcome, or anything else before the first")]
    OutOfTurn,
}

/// What is asked and what is known, for one feed.
///
/// ```text
///           want            requests()          unwant, requests()
/// (nobody) ──────▶ waiting ────────────▶ asked ────────────────────▶ (nobody)
///                     ▲                    │
///                     └──── close() ───────┘   a new session asks everything again
/// ```
#[derive(Debug)]
pub(super) struct State {
    limit: usize,
    waiting: HashSet<SocketAddr>,
    asked: HashMap<SocketAddr, Asked>,
    leaving: HashSet<SocketAddr>,
    /// Of each question the peers its answer has not told of yet.
    questions: HashMap<u64, HashSet<SocketAddr>>,
    last_question: u64,
}

#[derive(Debug, Default, Clone, Copy)]
struct Asked {
    /// The `seq` of the newest word about the peer in this session.
    seq: u64,
}

impl State {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            waiting: HashSet::new(),
            asked: HashMap::new(),
            leaving: HashSet::new(),
            questions: HashMap::new(),
            last_question: 0,
        }
    }

    /// Somebody asks about `peer`. Addresses that name no single peer are never sent: the monitor would hang up.
    pub(super) fn want(&mut self, peer: SocketAddr) {
        let nameable = SocketAddr::try_from(&obit_protocol::Peer::from(peer)) == Ok(peer);
        if !self.leaving.remove(&peer) && !self.asked.contains_key(&peer) && nameable {
            self.waiting.insert(peer);
        }
    }

    /// Nobody asks about `peer` any more.
    pub(super) fn unwant(&mut self, peer: SocketAddr) {
        self.waiting.remove(&peer);
        if self.asked.contains_key(&peer) {
            self.leaving.insert(peer);
        }
    }

    /// What to send now, in an open session. Removals go first, to make room.
    pub(super) fn requests(&mut self) -> Vec<Watch> {
        let leaving: Vec<_> = self.leaving.drain().collect();
        for peer in &leaving {
            self.asked.remove(peer);
        }
        let room = self.limit.saturating_sub(self.asked.len());
        let adding: Vec<_> = self.waiting.iter().copied().take(room).collect();
        let mut requests = Vec::new();
        for chunk in leaving.chunks(PEERS_PER_WATCH) {
            requests.push(self.question(Vec::new(), chunk));
        }
        for chunk in adding.chunks(PEERS_PER_WATCH) {
            for peer in chunk {
                self.waiting.remove(peer);
                self.asked.insert(*peer, Asked::default());
            }
            requests.push(self.question(chunk.to_vec(), &[]));
        }
        requests
    }

    fn question(&mut self, add: Vec<SocketAddr>, remove: &[SocketAddr]) -> Watch {
        self.last_question += 1;
        let watch = Watch {
            add: add.iter().copied().map(Into::into).collect(),
            remove: remove.iter().copied().map(Into::into).collect(),
            id: self.last_question,
        };
        self.questions.insert(self.last_question, add.into_iter().collect());
        watch
    }

    /// The state of peers just asked for, or a part of it. Those that no part lists are unknown.
    pub(super) fn snapshot(&mut self, snapshot: &Snapshot) -> Result<Vec<Change>, Violation> {
        let mut changes = Vec::new();
        for notice in &snapshot.notices {
            changes.extend(self.heard(notice, Arrival::Snapshot)?);
            let peer = peer_of(notice)?;
            if let Some(open) = self.questions.get_mut(&snapshot.watch_id) {
                open.remove(&peer);
            }
        }
        if snapshot.more {
            return Ok(changes);
        }
        for peer in self.questions.remove(&snapshot.watch_id).unwrap_or_default() {
            if self.asked.get(&peer).is_some_and(|asked| asked.seq <= snapshot.seq) {
                changes.push(Change::Peer {
                    peer,
                    health: Health::UNKNOWN,
                    arrival: Arrival::Snapshot,
                });
            }
        }
        Ok(changes)
    }

    /// A verdict as it was reached.
    pub(super) fn notice(&mut self, notice: &Notice) -> Result<Option<Change>, Violation> {
        self.heard(notice, Arrival::Live)
    }

    fn heard(&mut self, notice: &Notice, arrival: Arrival) -> Result<Option<Change>, Violation> {
        let (peer, health) = (peer_of(notice)?, wire::health(notice));
        // Peers nobody here asked about are nobody's business: a monitor can harm only what it was asked about.
        let Some(asked) = self.asked.get_mut(&peer) else {
            return Ok(None);
        };
        if notice.socket_cookie != 0 {
            let cookie = notice.socket_cookie;
            return Ok(Some(Change::Connection { cookie, health }));
        }
        if notice.seq < asked.seq {
            return Ok(None);
        }
        asked.seq = notice.seq;
        Ok(Some(Change::Peer { peer, health, arrival }))
    }

    /// The session is over. What it told is void, and the next one is asked everything again.
    pub(super) fn close(&mut self) {
        for peer in self.leaving.drain() {
            self.asked.remove(&peer);
        }
        self.waiting.extend(self.asked.drain().map(|(peer, _)| peer));
        self.questions.clear();
    }
}

fn peer_of(notice: &Notice) -> Result<SocketAddr, Violation> {
    let peer = notice.peer.as_ref().ok_or(Violation::NoPeer)?;
    Ok(SocketAddr::try_from(peer)?)
}
