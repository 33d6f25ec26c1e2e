//! Discovery that follows the feed: the set comes from the inner discovery, a death is an overlay on it.

use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::Stream;
use futures_util::future::{AbortHandle, Abortable, BoxFuture};
use futures_util::stream::FuturesUnordered;
use tower::discover::{Change, Discover};

use super::rotation::rotation;
use crate::{Feed, PeerWatch, Verdict};

/// Wraps any [`Discover`]: removes an endpoint when its peer is dead, suspect or draining, inserts it again when it is
/// back. Below half of the endpoints in rotation suspects stay in; if all are out, all are in.
///
/// A service inserted again is a clone of the one the inner discovery gave: let it be one that connects anew by itself
/// (tonic's `Channel` or `Endpoint`, a reconnecting client), not one bound to a connection that is gone. Between a removal
/// and the return one clone is kept here.
///
/// An endpoint whose key names no peer (`None` from the closure) is passed through unwatched. The feed's changes need no
/// request to be noticed, but like every discovery this one moves only when it is polled: tower's `Balance` polls it for
/// each request.
pub struct EvictDiscover<D: Discover, F> {
    inner: Option<D>,
    feed: Feed,
    peer_of: F,
    entries: Vec<Entry<D::Key, D::Service>>,
    removed: VecDeque<D::Key>,
    changes: Changes,
    next_wait: u64,
}

/// Each ends with the number of the wait and the watch that changed.
type Changes = FuturesUnordered<Abortable<BoxFuture<'static, (u64, PeerWatch)>>>;

struct Entry<K, S> {
    key: K,
    service: S,
    watched: Option<Watched>,
    shown: Shown,
}

struct Watched {
    watch: PeerWatch,
    wait: u64,
    waiting: AbortHandle,
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.waiting.abort();
    }
}

/// What the balancer has of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shown {
    Nothing,
    This,
    /// A service that has been replaced since: it goes before the new one comes.
    Another,
}

impl<D, F> EvictDiscover<D, F>
where
    D: Discover + Unpin,
    F: Fn(&D::Key) -> Option<SocketAddr>,
{
    /// Follows `feed` on top of `inner`; `peer_of` says which peer a key stands for.
    pub fn with_peers(inner: D, feed: Feed, peer_of: F) -> Self {
        Self {
            inner: Some(inner),
            feed,
            peer_of,
            entries: Vec::new(),
            removed: VecDeque::new(),
            changes: FuturesUnordered::new(),
            next_wait: 0,
        }
    }
}

/// How a key that is an address stands for its peer.
pub type Peers<K> = fn(&K) -> Option<SocketAddr>;

impl<D: Discover<Key = SocketAddr> + Unpin> EvictDiscover<D, Peers<SocketAddr>> {
    /// Follows `feed` on top of `inner`, whose keys are the peers' addresses.
    pub fn new(inner: D, feed: Feed) -> Self {
        Self::with_peers(inner, feed, |peer| Some(*peer))
    }
}

impl<D, F> EvictDiscover<D, F>
where
    D: Discover + Unpin,
    D::Service: Clone,
    D::Key: Clone,
    F: Fn(&D::Key) -> Option<SocketAddr>,
{
    fn insert(&mut self, key: D::Key, service: D::Service) {
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.key == key) {
            entry.service = service;
            if entry.shown == Shown::This {
                entry.shown = Shown::Another;
            }
            return;
        }
        // Removed and inserted between two looks: the balancer still has the old one.
        let old = self.removed.iter().position(|removed| *removed == key);
        let shown = old.map_or(Shown::Nothing, |old| {
            self.removed.remove(old);
            Shown::Another
        });
        let watched = (self.peer_of)(&key).map(|peer| {
            let watch = self.feed.watch(peer);
            self.next_wait += 1;
            Watched {
                waiting: wait(&self.changes, self.next_wait, watch.clone()),
                wait: self.next_wait,
                watch,
            }
        });
        self.entries.push(Entry {
            key,
            service,
            watched,
            shown,
        });
    }

    fn remove(&mut self, key: &D::Key) {
        let Some(at) = self.entries.iter().position(|entry| entry.key == *key) else {
            return;
        };
        let entry = self.entries.swap_remove(at);
        if entry.shown != Shown::Nothing {
            self.removed.push_back(entry.key);
        }
    }

    /// Takes in everything the inner discovery has to tell.
    fn poll_inner(&mut self, cx: &mut Context<'_>) -> Result<(), D::Error> {
        while let Some(inner) = &mut self.inner {
            match Pin::new(inner).poll_discover(cx) {
                Poll::Ready(Some(Ok(Change::Insert(key, service)))) => self.insert(key, service),
                Poll::Ready(Some(Ok(Change::Remove(key)))) => self.remove(&key),
                Poll::Ready(Some(Err(error))) => return Err(error),
                Poll::Ready(None) => self.inner = None,
                Poll::Pending => break,
            }
        }
        Ok(())
    }

    /// Notices every change of health; what the newest health calls for is worked out afterwards.
    fn poll_changes(&mut self, cx: &mut Context<'_>) {
        while let Poll::Ready(Some(changed)) = Pin::new(&mut self.changes).poll_next(cx) {
            let Ok((wait_id, watch)) = changed else { continue };
            let mut watched = self.entries.iter_mut().filter_map(|entry| entry.watched.as_mut());
            if let Some(watched) = watched.find(|watched| watched.wait == wait_id) {
                watched.waiting = wait(&self.changes, wait_id, watch);
            }
        }
    }

    /// One step from what the balancer has towards what it should have. Removals go first: an insert of a key that is
    /// still there would leave the old service in use until the new one is ready.
    fn step(&mut self) -> Option<Change<D::Key, D::Service>> {
        if let Some(key) = self.removed.pop_front() {
            return Some(Change::Remove(key));
        }
        let verdicts: Vec<_> = self.entries.iter().map(Entry::verdict).collect();
        let rotation = rotation(&verdicts);
        let pairs = || self.entries.iter().zip(&rotation);
        let leaving = pairs().position(|(entry, chosen)| match entry.shown {
            Shown::Nothing => false,
            Shown::This => !chosen,
            Shown::Another => true,
        });
        let entering = || pairs().position(|(entry, chosen)| *chosen && entry.shown == Shown::Nothing);
        if let Some(at) = leaving {
            let entry = &mut self.entries[at];
            entry.shown = Shown::Nothing;
            return Some(Change::Remove(entry.key.clone()));
        }
        let at = entering()?;
        let entry = &mut self.entries[at];
        entry.shown = Shown::This;
        Some(Change::Insert(entry.key.clone(), entry.service.clone()))
    }
}

impl<K, S> Entry<K, S> {
    fn verdict(&self) -> Verdict {
        let watched = self.watched.as_ref();
        watched.map_or(Verdict::Unknown, |watched| watched.watch.health().verdict)
    }
}

/// Waits for the next change of `watch`.
fn wait(changes: &Changes, id: u64, mut watch: PeerWatch) -> AbortHandle {
    let (handle, registration) = AbortHandle::new_pair();
    let change: BoxFuture<'static, (u64, PeerWatch)> = Box::pin(async move {
        watch.changed().await;
        (id, watch)
    });
    changes.push(Abortable::new(change, registration));
    handle
}

impl<D: Discover, F> Unpin for EvictDiscover<D, F> {}

impl<D, F> Stream for EvictDiscover<D, F>
where
    D: Discover + Unpin,
    D::Service: Clone,
    D::Key: Clone,
    F: Fn(&D::Key) -> Option<SocketAddr>,
{
    type Item = Result<Change<D::Key, D::Service>, D::Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Err(error) = self.poll_inner(cx) {
            return Poll::Ready(Some(Err(error)));
        }
        self.poll_changes(cx);
        match self.step() {
            Some(change) => Poll::Ready(Some(Ok(change))),
            None if self.inner.is_none() && self.entries.is_empty() => Poll::Ready(None),
            None => Poll::Pending,
        }
    }
}

impl<D: Discover, F> fmt::Debug for EvictDiscover<D, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EvictDiscover")
            .field("feed", &self.feed)
            .field("endpoints", &self.entries.len())
            .finish_non_exhaustive()
    }
}
