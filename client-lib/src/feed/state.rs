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
pub(crate) const MAX_WATCHED_PEERS: usize = 16_384;

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
    #[error("a service has more than {limit} endpoints", limit = super::services::MAX_ENDPOINTS)]
    TooManyEndpoints,
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Verdict;

    fn peer(n: u8) -> SocketAddr {
        SocketAddr::from(([198, 18, 0, n], 80))
    }

    fn notice(n: u8, seq: u64, verdict: obit_protocol::Verdict) -> Notice {
        Notice {
            seq,
            peer: Some(peer(n).into()),
            verdict: verdict.into(),
            ..Notice::default()
        }
    }

    fn verdicts(changes: &[Change]) -> Vec<(SocketAddr, Verdict)> {
        let verdict = |change: &Change| match change {
            Change::Peer { peer, health, .. } => (*peer, health.verdict),
            Change::Connection { .. } => panic!("word of a peer was expected"),
        };
        changes.iter().map(verdict).collect()
    }

    fn asking_for(peers: impl IntoIterator<Item = u8>) -> (State, u64) {
        let mut state = State::new(MAX_WATCHED_PEERS);
        peers.into_iter().for_each(|n| state.want(peer(n)));
        let id = state.requests()[0].id;
        (state, id)
    }

    #[test]
    fn what_no_part_of_an_answer_lists_is_unknown() {
        let (mut state, id) = asking_for([1, 2, 3]);
        let part = |n, more| Snapshot {
            seq: 9,
            watch_id: id,
            notices: vec![notice(n, 4, obit_protocol::Verdict::Alive)],
            more,
        };
        let first = state.snapshot(&part(1, true)).unwrap();
        assert_eq!(verdicts(&first), [(peer(1), Verdict::Alive)]);
        let last = state.snapshot(&part(2, false)).unwrap();
        assert_eq!(
            verdicts(&last),
            [(peer(2), Verdict::Alive), (peer(3), Verdict::Unknown)]
        );
    }

    #[test]
    fn a_notice_newer_than_the_answer_is_not_undone_by_it() {
        let (mut state, id) = asking_for([1]);
        let newer = notice(1, 12, obit_protocol::Verdict::Dead);
        assert!(state.notice(&newer).unwrap().is_some());
        let older = Snapshot {
            seq: 9,
            watch_id: id,
            notices: vec![notice(1, 8, obit_protocol::Verdict::Alive)],
            more: false,
        };
        assert_eq!(state.snapshot(&older).unwrap(), []);
        let silent = Snapshot {
            notices: vec![],
            ..older
        };
        assert_eq!(state.snapshot(&silent).unwrap(), []);
    }

    #[test]
    fn word_of_a_peer_nobody_asked_about_changes_nothing() {
        let (mut state, _) = asking_for([1]);
        assert_eq!(state.notice(&notice(2, 1, obit_protocol::Verdict::Dead)), Ok(None));
        assert_eq!(state.notice(&Notice::default()), Err(Violation::NoPeer));
    }

    #[test]
    fn word_of_one_connection_says_nothing_of_its_peer() {
        let (mut state, _) = asking_for([1]);
        let told = Notice {
            socket_cookie: 77,
            ..notice(1, 5, obit_protocol::Verdict::Dead)
        };
        let change = state.notice(&told).unwrap();
        assert!(matches!(change, Some(Change::Connection { cookie: 77, .. })));
        // Its number does not make older word of the peer stale.
        assert!(
            state
                .notice(&notice(1, 4, obit_protocol::Verdict::Alive))
                .unwrap()
                .is_some()
        );
    }

    #[derive(Debug, Clone)]
    enum Step {
        Want(u8),
        Unwant(u8),
        Flush,
        Reconnect,
    }

    fn any_step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0..12u8).prop_map(Step::Want),
            4 => (0..12u8).prop_map(Step::Unwant),
            3 => Just(Step::Flush),
            1 => Just(Step::Reconnect),
        ]
    }

    proptest! {
        /// A monitor that does as it is asked, and people who come and go in any order.
        #[test]
        fn after_every_flush_the_monitor_watches_what_is_wanted_and_never_more_than_it_accepts(
            steps in prop::collection::vec(any_step(), 1..80),
            limit in 1usize..14,
        ) {
            let mut state = State::new(limit);
            let (mut wanted, mut watched) = (HashSet::new(), HashSet::new());
            for step in steps.into_iter().chain([Step::Flush]) {
                match step {
                    Step::Want(n) => {
                        wanted.insert(peer(n));
                        state.want(peer(n));
                    }
                    Step::Unwant(n) => {
                        wanted.remove(&peer(n));
                        state.unwant(peer(n));
                    }
                    Step::Reconnect => {
                        watched.clear();
                        state.close();
                    }
                    Step::Flush => {
                        for watch in state.requests() {
                            for peer in &watch.remove {
                                prop_assert!(watched.remove(&SocketAddr::try_from(peer).unwrap()));
                            }
                            for peer in &watch.add {
                                prop_assert!(watched.insert(SocketAddr::try_from(peer).unwrap()));
                            }
                            prop_assert!(watched.len() <= limit);
                        }
                        prop_assert!(watched.is_subset(&wanted));
                        prop_assert_eq!(watched.len(), wanted.len().min(limit));
                        prop_assert_eq!(state.requests(), vec![], "asked twice");
                    }
                }
            }
        }

        #[test]
        fn the_newest_word_of_a_peer_wins_in_whatever_order_it_comes(
            told in prop::collection::vec((1u64..50, 0i32..5), 1..40),
        ) {
            let (mut state, _) = asking_for([1]);
            let (mut newest, mut believed) = (0, None);
            for (seq, verdict) in told {
                let verdict = obit_protocol::Verdict::try_from(verdict).unwrap();
                let change = state.notice(&notice(1, seq, verdict)).unwrap();
                prop_assert_eq!(change.is_some(), seq >= newest);
                if let Some(Change::Peer { health, .. }) = change {
                    newest = seq;
                    believed = Some(health.verdict);
                    prop_assert_eq!(believed, Some(Verdict::from(verdict)));
                }
            }
            prop_assert!(believed.is_some());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn no_question_asks_about_more_peers_than_one_answer_holds(count in 1u32..3_000) {
            let mut state = State::new(MAX_WATCHED_PEERS);
            for n in 0..count {
                state.want(SocketAddr::from(((0xc612_0000 + n).to_be_bytes(), 80)));
            }
            let requests = state.requests();
            prop_assert!(requests.iter().all(|watch| watch.add.len() <= PEERS_PER_WATCH));
            let asked: usize = requests.iter().map(|watch| watch.add.len()).sum();
            prop_assert_eq!(asked, usize::try_from(count).unwrap());
        }
    }
}
