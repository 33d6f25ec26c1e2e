//! Whom the guard asks about: peers the process is connected to, and those it was told of.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::Instant;

use crate::feed::MAX_WATCHED_PEERS;
use crate::{Feed, Health, PeerWatch};

/// How long a peer is remembered after its last connection was seen, or it was told: as long as a death without new evidence
/// is, so that whoever resolves its name next hears of it.
const REMEMBERED: Duration = Duration::from_secs(60);

/// The peers, and when each was last of interest.
#[derive(Debug)]
pub(super) struct Peers {
    feed: Feed,
    wanted: Mutex<HashMap<SocketAddr, Wanted>>,
    /// To the guard's task: peers newly watched.
    news: UnboundedSender<PeerWatch>,
    expected: Notify,
}

#[derive(Debug)]
struct Wanted {
    watch: PeerWatch,
    last: Instant,
}

impl Peers {
    pub(super) fn new(feed: Feed, news: UnboundedSender<PeerWatch>) -> Self {
        Self {
            feed,
            wanted: Mutex::default(),
            news,
            expected: Notify::new(),
        }
    }

    /// A peer is going to be dialled. Returns what is known of it.
    pub(super) fn expect(&self, peer: SocketAddr, now: Instant) -> Health {
        let health = self.want(peer, now);
        self.expected.notify_one();
        health
    }

    /// Waits until a peer is going to be dialled.
    pub(super) async fn expected(&self) {
        self.expected.notified().await;
    }

    pub(super) fn feed(&self) -> &Feed {
        &self.feed
    }

    fn wanted(&self) -> MutexGuard<'_, HashMap<SocketAddr, Wanted>> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A peer is of interest. Returns what is known of it.
    pub(super) fn want(&self, peer: SocketAddr, now: Instant) -> Health {
        let peer = obit_protocol::normalise(peer);
        let mut wanted = self.wanted();
        if let Some(known) = wanted.get_mut(&peer) {
            known.last = now;
            return known.watch.health();
        }
        if wanted.len() >= MAX_WATCHED_PEERS {
            return Health::UNKNOWN;
        }
        let watch = self.feed.watch(peer);
        let health = watch.health();
        // Nobody takes it: the guard is ending.
        _ = self.news.send(watch.clone());
        wanted.insert(peer, Wanted { watch, last: now });
        health
    }

    /// Forgets the peers that are of no interest any more, and returns them.
    pub(super) fn forget(&self, now: Instant) -> Vec<SocketAddr> {
        let mut wanted = self.wanted();
        let idle = |of: &Wanted| now.saturating_duration_since(of.last) >= REMEMBERED;
        wanted.extract_if(|_, of| idle(of)).map(|(peer, _)| peer).collect()
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;
    use crate::clock;

    #[test]
    fn a_peer_is_announced_once_and_forgotten_a_minute_after_it_was_last_of_interest() {
        let (news, mut told) = mpsc::unbounded_channel();
        let (peers, begun) = (Peers::new(Feed::offline(), news), clock::now());
        let peer: SocketAddr = "198.18.0.1:80".parse().unwrap();
        let mapped: SocketAddr = "[::ffff:198.18.0.1]:80".parse().unwrap();
        assert_eq!(peers.want(peer, begun), Health::UNKNOWN);
        peers.want(mapped, begun + Duration::from_secs(50));
        assert_eq!(told.try_recv().unwrap().peer(), peer);
        assert!(told.try_recv().is_err());
        assert!(peers.forget(begun + Duration::from_secs(100)).is_empty());
        assert_eq!(peers.forget(begun + Duration::from_secs(110)), [peer]);
        peers.want(peer, begun + Duration::from_secs(111));
        assert!(told.try_recv().is_ok());
    }
}
