//! Handles on the health map: a watch of a peer, and a connection's tie to it. The monitor is asked about a peer for as
//! long as one of them lives.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::watch;

use super::Feed;
use super::cell::PeerCell;
use super::link::Link;
use super::table::LinkId;
use crate::connection::KillSwitch;
use crate::{Health, PeerDead, clock};

/// Keeps a peer watched.
#[derive(Debug)]
struct Lease {
    feed: Feed,
    cell: Arc<PeerCell>,
}

impl Lease {
    fn new(feed: &Feed, peer: SocketAddr) -> Self {
        let cell = feed.table().lease(peer);
        Self {
            feed: feed.clone(),
            cell,
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.feed.table().release(self.cell.peer());
    }
}

/// The health of one peer, from [`Feed::watch`]. Clones share one subscription and each see every change.
#[derive(Debug, Clone)]
pub struct PeerWatch {
    lease: Arc<Lease>,
    changes: watch::Receiver<Health>,
}

impl PeerWatch {
    pub(super) fn new(feed: &Feed, peer: SocketAddr) -> Self {
        let lease = Arc::new(Lease::new(feed, peer));
        let changes = lease.cell.subscribe();
        Self { lease, changes }
    }

    /// The peer, IPv4-mapped IPv6 addresses as IPv4.
    #[must_use]
    pub fn peer(&self) -> SocketAddr {
        self.lease.cell.peer()
    }

    /// The newest health. Lock-free: made for the request path.
    #[must_use]
    pub fn health(&self) -> Health {
        self.lease.cell.health()
    }

    /// The peer's obituary while it is dead.
    #[must_use]
    pub fn obituary(&self) -> Option<PeerDead> {
        self.life().cause()
    }

    /// Waits until the health differs from what this handle last returned here (from its creation, at first), and
    /// returns the newest. Every change is seen; intermediate ones may be skipped.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: a change not returned is returned by the next call.
    pub async fn changed(&mut self) -> Health {
        if self.changes.changed().await.is_err() {
            // The sender lives in the lease this handle holds.
            std::future::pending::<()>().await;
        }
        *self.changes.borrow_and_update()
    }

    /// Killed when the peer dies. What begins while the peer is not dead begins a life that ends with its death.
    pub(crate) fn life(&self) -> KillSwitch {
        self.lease.cell.life()
    }
}

/// Ties one dial, then its connection, to the feed; unties it when dropped.
#[derive(Debug)]
pub(crate) struct Registration {
    lease: Lease,
    id: LinkId,
    link: Arc<Link>,
}

impl Registration {
    pub(crate) fn new(feed: &Feed, link: Arc<Link>, cookie: Option<u64>) -> Self {
        let lease = Lease::new(feed, link.peer());
        let id = feed.table().attach(&link, cookie, clock::now());
        Self { lease, id, link }
    }

    pub(crate) fn link(&self) -> &Arc<Link> {
        &self.link
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.lease.feed.table().detach(self.link.peer(), self.id);
    }
}
