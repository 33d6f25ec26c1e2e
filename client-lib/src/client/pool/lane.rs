//! One HTTP/2 connection as calls see it: a sender, a gauge of free streams, and who is in flight.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use tokio::sync::{Notify, watch};

use super::queue::Queue;
use super::stopwatch::Stopwatch;
use crate::client::Error;
use crate::client::call::Outbound;
use crate::client::policy::{Average, Load};
use crate::connection::ConnectionHandle;

/// How far a connection has come. Only ever goes forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// The peer's SETTINGS have not come: how many streams it takes is not known.
    Opening,
    /// Takes calls.
    Open,
    /// Takes no new calls (GOAWAY, or an error); what is in flight may still end well.
    Closing,
    /// Over.
    Closed,
}

/// What the connection's driver tells the pool.
#[derive(Debug)]
pub(crate) struct Gauge {
    load: Arc<Load>,
    open: AtomicBool,
    stage: watch::Sender<Stage>,
    queue: Arc<Queue>,
}

impl Gauge {
    /// `average`: of the time its peer takes to answer, where somebody wants to know it.
    pub(crate) fn new(queue: Arc<Queue>, average: Option<Average>) -> Self {
        Self {
            load: Arc::new(Load::closed(average)),
            open: AtomicBool::new(true),
            stage: watch::Sender::new(Stage::Opening),
            queue,
        }
    }

    /// The peer takes `limit` streams at once; 0 until its SETTINGS came.
    pub(crate) fn limit(&self, limit: usize) {
        let before = self.load.limit();
        if before == limit {
            return;
        }
        self.load.set_limit(limit);
        self.reach(Stage::Open);
        if limit > before {
            self.queue.many_free();
        }
    }

    /// Goes on to `stage`, never back.
    pub(crate) fn reach(&self, stage: Stage) {
        if stage >= Stage::Closing {
            self.open.store(false, Ordering::SeqCst);
        }
        self.stage.send_if_modified(|current| {
            let forward = *current < stage;
            if forward {
                *current = stage;
            }
            forward
        });
    }

    /// Waits until the connection has come to `stage` or beyond, and says where it is. Cancel safe.
    pub(crate) async fn reached(&self, stage: Stage) -> Stage {
        let mut stages = self.stage.subscribe();
        let reached = stages
            .wait_for(|current| *current >= stage)
            .await
            .map(|current| *current);
        reached.unwrap_or(Stage::Closed)
    }
}

/// An established connection of the pool.
#[derive(Debug)]
pub(crate) struct Lane {
    peer: SocketAddr,
    /// Gone once the lane takes no new calls. A request that meets the end of its connection can be left behind in hyper's
    /// channel, neither sent nor handed back, for as long as a sender lives: then its call would hang for ever.
    sender: Mutex<Option<SendRequest<Outbound>>>,
    gauge: Arc<Gauge>,
    /// Whether a call was ever answered.
    served: AtomicBool,
    /// Told when the first call comes to an idle connection.
    busy: Notify,
    /// Told when the last call left.
    idle: Notify,
    handle: ConnectionHandle,
}

impl Lane {
    pub(crate) fn new(
        peer: SocketAddr,
        sender: SendRequest<Outbound>,
        gauge: Arc<Gauge>,
        handle: ConnectionHandle,
    ) -> Self {
        Self {
            peer,
            sender: Mutex::new(Some(sender)),
            gauge,
            served: AtomicBool::new(false),
            busy: Notify::new(),
            idle: Notify::new(),
            handle,
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

    fn sender(&self) -> MutexGuard<'_, Option<SendRequest<Outbound>>> {
        self.sender.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection below, for looking at it and ending it.
    pub(crate) fn connection(&self) -> &ConnectionHandle {
        &self.handle
    }

    pub(crate) fn has_served(&self) -> bool {
        self.served.load(Ordering::Relaxed)
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
        self.gauge.load.in_flight()
    }

    /// What it carries, for policies.
    pub(crate) fn load(&self) -> &Arc<Load> {
        &self.gauge.load
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

/// A stream of a lane, held by one call from its choice to the end of its response.
#[derive(Debug)]
pub(crate) struct Slot(Arc<Lane>);

impl Slot {
    /// A free stream of `lane`, if it has one.
    pub(crate) fn of(lane: &Arc<Lane>) -> Option<Self> {
        // The kill switch is thrown by the feed, a moment before the endpoint's task takes the lane out of rotation.
        if !lane.gauge.open.load(Ordering::SeqCst) || lane.handle.kill_switch().is_killed() {
            return None;
        }
        lane.gauge.load.begin().map(|before| {
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
        // Cloned and dropped again before the answer is waited for: see `Lane::sender`.
        let Some(mut sender) = self.0.sender().clone() else {
            return Err(Unanswered::NotSent(None));
        };
        let stopwatch = self.0.load().average().map(Stopwatch::start);
        let answer = sender.try_send_request(request);
        drop(sender);
        match answer.await {
            Ok(response) => {
                if let Some(stopwatch) = stopwatch {
                    stopwatch.answered();
                }
                // Looked at before it is written: the flag's cache line stays shared between threads.
                if !self.0.has_served() {
                    self.0.served.store(true, Ordering::Relaxed);
                }
                Ok(response)
            }
            Err(failure) if failure.message().is_some() => {
                // The connection is over and the pool's task has not heard of it yet: no other call need try.
                self.0.close();
                Err(Unanswered::NotSent(Some(failure.into_error())))
            }
            Err(failure) => Err(Unanswered::Failed(failure.into_error())),
        }
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
        if self.0.gauge.load.end() == 0 && !self.0.gauge.open.load(Ordering::SeqCst) {
            self.0.idle.notify_one();
        }
        self.0.gauge.queue.one_free();
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
        let (sender, driver) = driver::handshake(io, gauge.clone(), handle.kill_switch().clone())
            .await
            .unwrap();
        gauge.limit(CALLS);
        (Arc::new(Lane::new(peer, sender, gauge, handle)), driver)
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
