//! One connection as calls see it: a sender, a gauge of free streams, and who is in flight. An HTTP/1.1 connection is one
//! with a single stream.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use tokio::sync::Notify;

use super::exchange::exchange;
use super::gauge::{Gauge, Stage};
use super::outlier::{Tally, is_failure};
use super::stopwatch::Stopwatch;
use crate::client::Error;
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
            handle,
            tally,
        }
    }

    pub(crate) fn peer(&self) -> SocketAddr {
        self.peer
    }

    pub(crate) fn gauge(&self) -> &Arc<Gauge> {
        &self.gauge
    }

    /// Takes no new calls from now on. Without calls in flight the connection ends, in good order.
    pub(crate) fn close(&self) {
        self.gauge.reach(Stage::Closing);
        self.sender().take();
    }

    fn sender(&self) -> MutexGuard<'_, Option<Sender>> {
        self.sender.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A sender for one request.
    fn lend(&self) -> Option<Sender> {
        let mut place = self.sender();
        match &*place {
            Some(Sender::Http2(sender)) => Some(Sender::Http2(sender.clone())),
            _ => place.take(),
        }
    }

    /// Takes back a sender that was lent, unless the lane was closed meanwhile.
    fn restore(&self, sender: Option<http1::SendRequest<Outbound>>) {
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

    pub(crate) fn in_flight(&self) -> usize {
        self.gauge.load().in_flight()
    }

    /// What it carries, for policies.
    pub(crate) fn load(&self) -> &Arc<Load> {
        self.gauge.load()
    }
}

/// Why a stream brought no response head.
#[derive(Debug)]
pub(crate) enum Unanswered {
    /// The request is still here, whole.
    NotSent(Option<hyper::Error>),
    /// The error knows more.
    Failed(hyper::Error),
}

impl From<TrySendError<Request<Outbound>>> for Unanswered {
    fn from(failure: TrySendError<Request<Outbound>>) -> Self {
        let whole = failure.message().is_some();
        let error = failure.into_error();
        if whole {
            Self::NotSent(Some(error))
        } else {
            Self::Failed(error)
        }
    }
}

/// A stream of a lane, held by one call from its choice to the end of its response.
#[derive(Debug)]
pub(crate) struct Slot(Arc<Lane>);

impl Slot {
    /// A free stream of `lane`, if it has one.
    pub(crate) fn of(lane: &Arc<Lane>) -> Option<Self> {
        if !lane.is_open() {
            return None;
        }
        lane.gauge.load().begin().map(|before| {
            if before == 0 {
                lane.busy.notify_one();
            }
            Self(lane.clone())
        })
    }

    pub(crate) fn peer(&self) -> SocketAddr {
        self.0.peer
    }

    /// Sends one request. Dropping the future resets its stream.
    pub(crate) async fn send(&self, request: Request<Outbound>) -> Result<Response<Incoming>, Unanswered> {
        let Some(sender) = self.0.lend() else {
            // Somebody else gave up the call that had it, and with it the connection.
            self.0.close();
            return Err(Unanswered::NotSent(None));
        };
        let stopwatch = self.0.load().average().map(Stopwatch::start);
        let answer = match sender {
            Sender::Http1(sender) => exchange(sender, &self.0.gauge, request).await.map(|(answer, sender)| {
                self.0.used.store(true, Ordering::Relaxed);
                self.0.restore(sender);
                answer
            }),
            Sender::Http2(mut sender) => {
                let answer = sender.try_send_request(request);
                // Dropped before the answer is waited for: see `Lane::sender`.
                drop(sender);
                answer.await.map_err(Unanswered::from)
            }
        };
        match &answer {
            Ok(answer) => {
                if let Some(tally) = &self.0.tally {
                    if is_failure(answer.status(), answer.headers()) {
                        tally.failed();
                    } else {
                        tally.succeeded();
                    }
                }
                if let Some(stopwatch) = stopwatch {
                    stopwatch.answered();
                }
                // Looked at before it is written: the flag's cache line stays shared between threads.
                if !self.0.has_served() {
                    self.0.served.store(true, Ordering::Relaxed);
                }
            }
            // The connection is over and the pool's task has not heard of it yet: no other call need try.
            Err(Unanswered::NotSent(_)) => self.0.close(),
            Err(Unanswered::Failed(_)) => {
                if let Some(tally) = &self.0.tally {
                    tally.failed();
                }
            }
        }
        answer
    }

    /// What a caller hears of an error of this stream, or of its end before the response's: the death that caused it, if there was one. HTTP/2 loses the
    /// type of what ended its I/O, so the connection remembers.
    pub(crate) fn failed(&self, error: Option<hyper::Error>) -> Error {
        match (self.0.handle.kill_switch().cause(), error) {
            (Some(death), _) => Error::PeerDead(death),
            (None, Some(error)) => Error::Connection {
                peer: self.0.peer,
                source: Arc::new(error),
            },
            (None, None) => Error::Truncated { peer: self.0.peer },
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if self.0.gauge.load().end() == 0 && !self.0.gauge.is_open() {
            self.0.idle.notify_one();
        }
        self.0.gauge.one_free();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::time::Duration;

    use bytes::Bytes;
    use futures_util::future::join_all;
    use tokio::net::TcpListener;

    use super::*;
    use crate::client::pool::driver::{self, Driver};
    use crate::client::pool::queue::Queue;
    use crate::connection::{DialOptions, GuardedTcp, dial};
    use crate::{Feed, PeerDead, Reason, clock};

    const CALLS: usize = 20;

    const ROUNDS: usize = 4000;

    /// A lane to a peer that takes [`CALLS`] calls, and its driver.
    async fn open(listener: &TcpListener) -> (Arc<Lane>, Driver<GuardedTcp>) {
        let peer = listener.local_addr().unwrap();
        let io = dial(&Feed::offline(), peer, &DialOptions::default()).await.unwrap();
        let (handle, gauge) = (
            io.handle(),
            Arc::new(Gauge::new(Arc::new(Queue::new(1, Duration::ZERO)), None)),
        );
        let (sender, driver) = driver::http2(io, gauge.clone(), handle.kill_switch().clone())
            .await
            .unwrap();
        gauge.limit(CALLS);
        let lane = Lane::new(peer, Sender::Http2(sender), gauge, handle, None);
        (Arc::new(lane), driver)
    }

    fn request() -> Request<Outbound> {
        let (data, trailers) = (Bytes::new(), None);
        Request::new(Outbound::Whole { data, trailers })
    }

    /// The moment is too short to be met on purpose, so it is met by number.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn no_call_stays_behind_in_a_connection_that_ends_while_it_is_sent() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        for round in 0..ROUNDS {
            let (lane, driver) = open(&listener).await;
            let slots: Vec<_> = (0..CALLS).map(|_| Slot::of(&lane).unwrap()).collect();
            // So that the socket is reset: thousands would stay behind in TIME_WAIT.
            lane.connection().kill_switch().kill(PeerDead {
                peer: lane.peer(),
                reason: Reason::Removed,
                at: clock::now(),
            });
            let sent = Arc::new(AtomicUsize::new(0));
            let calls = tokio::spawn({
                let sent = sent.clone();
                async move {
                    let send = async |slot: &Slot| {
                        sent.fetch_add(1, Ordering::SeqCst);
                        slot.send(request()).await
                    };
                    join_all(slots.iter().map(send)).await
                }
            });
            // Spinning, because a sleeper wakes too late; early, because the fewer calls are handed back, the narrower the miss.
            while sent.load(Ordering::SeqCst) <= round % 4 {
                std::hint::spin_loop();
            }
            drop(driver);
            lane.close();
            let answers = tokio::time::timeout(Duration::from_secs(5), calls).await;
            let answers = answers
                .unwrap_or_else(|_| panic!("a call stayed behind in round {round}"))
                .unwrap();
            assert!(
                answers
                    .iter()
                    .all(|answer| matches!(answer, Err(Unanswered::NotSent(_))))
            );
            drop(listener.accept().await.unwrap());
        }
    }
}
