//! One connection as calls see it: a sender, a gauge of free streams, and who is in flight. An HTTP/1.1 connection is one
//! with a single stream.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hyper::client::conn::{http1, http2};
use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;

use super::gauge::{Gauge, Stage};
use super::outlier::Tally;
use crate::client::call::Outbound;
use crate::client::policy::Load;
use crate::connection::ConnectionHandle;

/// What hyper sends requests with.
#[derive(Debug)]
pub(crate) enum Sender {
    /// One request after the other: whoever sends has the sender until the answer came.
    Http1(http1::SendRequest<Outbound>),
    /// Many at once: everybody sends with a clone.
    Http2(http2::SendRequest<Outbound>),
}

/// An established connection of the pool.
#[derive(Debug)]
pub(crate) struct Lane {
    peer: SocketAddr,
    /// Gone once the lane takes no new calls. A request that meets the end of its connection can be left behind in hyper's
    /// channel, neither sent nor handed back, for as long as a sender lives: then its call would hang for ever.
    sender: Mutex<Option<Sender>>,
    gauge: Arc<Gauge>,
    /// Whether a call was ever answered.
    served: AtomicBool,
    /// Whether it carries one call at a time.
    single: bool,
    /// Whether a call was answered since this was last asked, where one is carried at a time.
    used: AtomicBool,
    /// Told when the first call comes to an idle connection.
    busy: Notify,
    /// Told when the last call left.
    idle: Notify,
    /// Told while its peer is suspected. Shared, so that a call that listens keeps no connection.
    doubt: Arc<Notify>,
    handle: ConnectionHandle,
    /// Of its endpoint, where outliers are looked for.
    tally: Option<Arc<Tally>>,
}

impl Lane {
    pub(crate) fn new(
        peer: SocketAddr,
        sender: Sender,
        gauge: Arc<Gauge>,
        handle: ConnectionHandle,
        tally: Option<Arc<Tally>>,
    ) -> Self {
        Self {
            peer,
            single: matches!(sender, Sender::Http1(_)),
            sender: Mutex::new(Some(sender)),
            gauge,
            served: AtomicBool::new(false),
            used: AtomicBool::new(false),
            busy: Notify::new(),
            idle: Notify::new(),
            doubt: Arc::default(),
            handle,
            tally,
        }
    }

    pub(crate) fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// How many segments came from the peer's kernel since the connection began: it is heard when there are more. `None` once the
    /// connection is closed.
    pub(crate) fn segments_heard(&self) -> Option<u32> {
        self.handle.probe().segments_heard()
    }

    pub(crate) fn gauge(&self) -> &Arc<Gauge> {
        &self.gauge
    }

    /// Takes no new calls from now on. Without calls in flight the connection ends, in good order.
    pub(crate) fn close(&self) {
        self.gauge.reach(Stage::Closing);
        self.sender().take();
    }

    /// Takes no new calls, and sends those away that may be repeated.
    pub(crate) fn strand(&self) {
        self.close();
        self.gauge.strand();
    }

    fn sender(&self) -> MutexGuard<'_, Option<Sender>> {
        self.sender.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A sender for one request.
    pub(super) fn lend(&self) -> Option<Sender> {
        let mut place = self.sender();
        match &*place {
            Some(Sender::Http2(sender)) => Some(Sender::Http2(sender.clone())),
            _ => place.take(),
        }
    }

    /// Takes back a sender that was lent, unless the lane was closed meanwhile.
    pub(super) fn restore(&self, sender: Option<http1::SendRequest<Outbound>>) {
        let mut place = self.sender();
        if self.gauge.is_open() {
            *place = sender.map(Sender::Http1);
        }
    }

    /// Whether it takes calls, now or once one of those it carries has ended.
    pub(crate) fn is_open(&self) -> bool {
        // The kill switch is thrown by the feed, a moment before the endpoint's task takes the lane out of rotation.
        self.gauge.is_open() && !self.handle.kill_switch().is_killed()
    }

    /// The connection below, for looking at it and ending it.
    pub(crate) fn connection(&self) -> &ConnectionHandle {
        &self.handle
    }

    pub(crate) fn has_served(&self) -> bool {
        self.served.load(Ordering::Relaxed)
    }

    /// Whether it carries one call at a time (HTTP/1.1).
    pub(crate) fn is_single(&self) -> bool {
        self.single
    }

    /// Whether one that carries one call at a time carries one, or did since this was last asked.
    pub(crate) fn was_used(&self) -> bool {
        self.used.swap(false, Ordering::Relaxed) || self.in_flight() > 0
    }

    /// Waits until a call comes to the idle connection; may return early. Cancel safe.
    pub(crate) async fn busy(&self) {
        if self.in_flight() == 0 {
            self.busy.notified().await;
        }
    }

    /// Waits until no call is in flight. Cancel safe.
    pub(crate) async fn idle(&self) {
        while self.in_flight() > 0 {
            self.idle.notified().await;
        }
    }

    /// Its peer is suspected: calls in flight may ask somebody else too.
    pub(crate) fn doubt(&self) {
        self.doubt.notify_waiters();
    }

    /// Completes when the peer is suspected after this was called. Cancel safe.
    pub(crate) fn doubted(&self) -> OwnedNotified {
        self.doubt.clone().notified_owned()
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.gauge.load().in_flight()
    }

    /// What it carries, for policies.
    pub(crate) fn load(&self) -> &Arc<Load> {
        self.gauge.load()
    }

    /// A call begins; false if it may not.
    pub(super) fn begin(&self) -> bool {
        if !self.is_open() {
            return false;
        }
        let Some(before) = self.load().begin() else {
            return false;
        };
        if before == 0 {
            self.busy.notify_one();
        }
        true
    }

    /// A call was answered.
    pub(super) fn answered(&self) {
        // Looked at before it is written: the flag's cache line stays shared between threads.
        if !self.has_served() {
            self.served.store(true, Ordering::Relaxed);
        }
        if self.single {
            self.used.store(true, Ordering::Relaxed);
        }
    }

    /// A call is over.
    pub(super) fn end(&self) {
        if self.load().end() == 0 && !self.gauge.is_open() {
            self.idle.notify_one();
        }
        self.gauge.one_free();
    }

    /// Where its endpoint's successes and failures are counted, if they are.
    pub(super) fn tally(&self) -> Option<&Tally> {
        self.tally.as_deref()
    }
}
