//! The health map: who asks about which peer. Changed when a watch or a connection begins or ends, filled by the
//! feed's task; never on the request path.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError};

use tokio::sync::watch;
use tokio::time::Instant;

use super::cell::PeerCell;
use super::link::{Arrival, Link};
use super::service_watch::ServiceState;
use super::state::Change;
use super::status::FeedStatus;
use crate::Health;
use crate::service::Service;
use crate::sync::{Mutex, MutexGuard, Notify};

/// What the handles and the task of one feed share.
#[derive(Debug)]
pub(super) struct Table {
    inner: Mutex<Inner>,
    changed: Notify,
    /// Whether a task takes the changes.
    attended: bool,
    status: watch::Sender<FeedStatus>,
}

#[derive(Debug, Default)]
struct Inner {
    peers: HashMap<SocketAddr, Slot>,
    links: HashMap<u64, Arc<Link>>,
    /// Peers whose first lease began or last lease ended since the task looked.
    touched: HashSet<SocketAddr>,
    next_link: u64,
    services: HashMap<Service, ServiceSlot>,
    /// Services whose first lease began or last lease ended since the task looked.
    touched_services: HashSet<Service>,
}

#[derive(Debug)]
struct Slot {
    cell: Arc<PeerCell>,
    leases: usize,
    links: HashMap<u64, Arc<Link>>,
}

#[derive(Debug)]
struct ServiceSlot {
    state: watch::Sender<ServiceState>,
    leases: usize,
}

/// Names one link in the table.
#[derive(Debug, Clone, Copy)]
pub(super) struct LinkId {
    id: u64,
    cookie: Option<u64>,
}

/// What became of a peer since the task last looked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Interest {
    Wanted,
    Dropped,
}

impl Table {
    /// A map whose changes a task takes, if `attended`; otherwise every peer stays unknown and is forgotten at once.
    pub(super) fn new(now: Instant, attended: bool) -> Self {
        Self {
            inner: Mutex::default(),
            changed: Notify::new(),
            attended,
            status: watch::Sender::new(FeedStatus::Blind { since: now }),
        }
    }

    /// Nothing done under the lock can panic half-way, so that a poisoned table is still whole.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a lease of `peer`.
    pub(super) fn lease(&self, peer: SocketAddr) -> Arc<PeerCell> {
        let mut inner = self.lock();
        let Inner { peers, touched, .. } = &mut *inner;
        let slot = peers.entry(peer).or_insert_with(|| Slot {
            cell: Arc::new(PeerCell::new(peer)),
            leases: 0,
            links: HashMap::new(),
        });
        slot.leases += 1;
        let (first, cell) = (slot.leases == 1 && self.attended, slot.cell.clone());
        if first {
            touched.insert(peer);
        }
        drop(inner);
        if first {
            self.changed.notify_one();
        }
        cell
    }

    /// Ends a lease of `peer`.
    pub(super) fn release(&self, peer: SocketAddr) {
        let mut inner = self.lock();
        let Some(slot) = inner.peers.get_mut(&peer) else { return };
        slot.leases -= 1;
        if slot.leases > 0 {
            return;
        }
        if self.attended {
            inner.touched.insert(peer);
            drop(inner);
            self.changed.notify_one();
        } else {
            let forgotten = inner.peers.remove(&peer);
            drop(inner);
            drop(forgotten);
        }
    }

    /// Begins a lease of `service`.
    pub(super) fn lease_service(&self, service: &Service) -> watch::Receiver<ServiceState> {
        let mut inner = self.lock();
        let slot = inner.services.entry(service.clone()).or_insert_with(|| ServiceSlot {
            state: watch::Sender::new(ServiceState::Unknown),
            leases: 0,
        });
        slot.leases += 1;
        let (first, state) = (slot.leases == 1 && self.attended, slot.state.subscribe());
        if first {
            inner.touched_services.insert(service.clone());
        }
        drop(inner);
        if first {
            self.changed.notify_one();
        }
        state
    }

    /// Ends a lease of `service`.
    pub(super) fn release_service(&self, service: &Service) {
        let mut inner = self.lock();
        let Some(slot) = inner.services.get_mut(service) else {
            return;
        };
        slot.leases -= 1;
        if slot.leases > 0 {
            return;
        }
        if self.attended {
            inner.touched_services.insert(service.clone());
            drop(inner);
            self.changed.notify_one();
        } else {
            inner.services.remove(service);
        }
    }

    /// The services whose watches began or ended since the last call; forgets those nobody asks about any more.
    pub(super) fn take_service_changes(&self) -> Vec<(Service, Interest)> {
        let mut inner = self.lock();
        let touched = std::mem::take(&mut inner.touched_services);
        touched
            .into_iter()
            .map(|service| match inner.services.get(&service) {
                Some(slot) if slot.leases > 0 => (service, Interest::Wanted),
                _ => {
                    // No receiver is left to be woken by this.
                    inner.services.remove(&service);
                    (service, Interest::Dropped)
                }
            })
            .collect()
    }

    /// Carries the newest word about a service to whoever watches it.
    pub(super) fn apply_service(&self, service: &Service, state: ServiceState) {
        let sender = self.lock().services.get(service).map(|slot| slot.state.clone());
        if let Some(sender) = sender {
            sender.send_replace(state);
        }
    }

    /// Ties a dial or connection to the verdicts about its peer (which must be leased) and about itself.
    pub(super) fn attach(&self, link: &Arc<Link>, cookie: Option<u64>, now: Instant) -> LinkId {
        let mut inner = self.lock();
        inner.next_link += 1;
        let id = inner.next_link;
        let mut known = Health::UNKNOWN;
        if let Some(slot) = inner.peers.get_mut(&link.peer()) {
            slot.links.insert(id, link.clone());
            known = slot.cell.health();
        }
        if let Some(cookie) = cookie {
            inner.links.insert(cookie, link.clone());
        }
        drop(inner);
        // A death that arrived between the birth of the dial and this moment.
        link.peer_changed(known, Arrival::Snapshot, now);
        LinkId { id, cookie }
    }

    pub(super) fn detach(&self, peer: SocketAddr, link: LinkId) {
        let mut inner = self.lock();
        // Dropped after the lock: wakers run foreign code.
        let _by_peer = inner.peers.get_mut(&peer).and_then(|slot| slot.links.remove(&link.id));
        let _by_cookie = link.cookie.and_then(|cookie| inner.links.remove(&cookie));
        drop(inner);
    }

    /// Waits until a peer's first lease begins or its last one ends.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// What changed since the last call; forgets the peers nobody asks about any more.
    pub(super) fn take_changes(&self) -> Vec<(SocketAddr, Interest)> {
        let mut inner = self.lock();
        let touched = std::mem::take(&mut inner.touched);
        let mut forgotten = Vec::new();
        let changes = touched
            .into_iter()
            .map(|peer| match inner.peers.get(&peer) {
                Some(slot) if slot.leases > 0 => (peer, Interest::Wanted),
                _ => {
                    forgotten.extend(inner.peers.remove(&peer));
                    (peer, Interest::Dropped)
                }
            })
            .collect();
        drop(inner);
        drop(forgotten);
        changes
    }

    /// Carries one change to everyone it concerns. Wakers run outside the lock.
    pub(super) fn apply(&self, change: &Change, now: Instant) {
        match *change {
            Change::Peer { peer, health, arrival } => {
                let Some(cell) = self.lock().peers.get(&peer).map(|slot| slot.cell.clone()) else {
                    return;
                };
                // Published before the links are looked up: one that is tied meanwhile is among them, or reads it.
                cell.publish(health, now);
                let links: Vec<_> = match self.lock().peers.get(&peer) {
                    Some(slot) => slot.links.values().cloned().collect(),
                    None => return,
                };
                for link in links {
                    link.peer_changed(health, arrival, now);
                }
            }
            Change::Connection { cookie, health } => {
                let link = self.lock().links.get(&cookie).cloned();
                if let Some(link) = link {
                    link.connection_changed(health, now);
                }
            }
        }
    }

    /// Voids everything that was learnt.
    pub(super) fn forget_all(&self, now: Instant) {
        let cells: Vec<_> = self.lock().peers.values().map(|slot| slot.cell.clone()).collect();
        for cell in cells {
            cell.publish(Health::UNKNOWN, now);
        }
    }

    pub(super) fn status(&self) -> &watch::Sender<FeedStatus> {
        &self.status
    }
}
