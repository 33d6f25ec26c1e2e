//! A stream of a connection, held by one call: what it sends, what comes of it, and how it hears that the peer died.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use tokio::sync::futures::OwnedNotified;

use super::exchange::exchange;
use super::lane::{Lane, Sender};
use super::outlier::is_failure;
use super::stopwatch::Stopwatch;
use crate::client::Error;
use crate::client::call::Outbound;
use crate::{PeerDead, Reason, clock};

/// Why a stream brought no response head.
#[derive(Debug)]
pub(crate) enum Unanswered {
    /// The request is still here, whole.
    NotSent(Option<hyper::Error>),
    /// The error knows more.
    Failed(hyper::Error),
    /// The connection was killed before an answer came.
    Severed,
    /// The connection is left, and the call is one that may be sent again.
    Stranded,
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

/// How a response body waits for its connection's death.
#[derive(Debug, Default)]
pub(crate) enum Severance {
    /// Not yet: most bodies are there with their head.
    #[default]
    Unheard,
    Awaited(Pin<Box<OwnedNotified>>),
    /// The connection is over.
    Over,
}

/// A stream of a lane, held by one call from its choice to the end of its response.
#[derive(Debug)]
pub(crate) struct Slot(Arc<Lane>);

impl Slot {
    /// A free stream of `lane`, if it has one.
    pub(crate) fn of(lane: &Arc<Lane>) -> Option<Self> {
        lane.begin().then(|| Self(lane.clone()))
    }

    pub(crate) fn peer(&self) -> SocketAddr {
        self.0.peer()
    }

    /// Completes when its peer is suspected after this was called. Cancel safe.
    pub(crate) fn doubted(&self) -> OwnedNotified {
        self.0.doubted()
    }

    /// Sends one request. Dropping the future resets its stream. If it is `movable`, it may be sent again elsewhere although it may have
    /// been processed: then it does not wait for the answer of a stranded connection.
    pub(crate) async fn send(
        &self,
        request: Request<Outbound>,
        movable: bool,
    ) -> Result<Response<Incoming>, Unanswered> {
        let Some(sender) = self.0.lend() else {
            // Somebody else gave up the call that had it, and with it the connection.
            self.0.close();
            return Err(Unanswered::NotSent(None));
        };
        let stopwatch = self.0.load().average().map(Stopwatch::start);
        let answer = match sender {
            Sender::Http1(sender) => {
                exchange(sender, self.0.gauge(), request, movable)
                    .await
                    .map(|(answer, sender)| {
                        self.0.restore(sender);
                        answer
                    })
            }
            Sender::Http2(mut sender) => {
                let answer = sender.try_send_request(request);
                // Dropped before the answer is waited for: see `Lane::sender`.
                drop(sender);
                self.answered(answer, movable).await
            }
        };
        match &answer {
            Ok(answer) => {
                if let Some(tally) = self.0.tally() {
                    if is_failure(answer.status(), answer.headers()) {
                        tally.failed();
                    } else {
                        tally.succeeded();
                    }
                }
                if let Some(stopwatch) = stopwatch {
                    stopwatch.answered();
                }
                self.0.answered();
            }
            // The connection is over and the pool's task has not heard of it yet: no other call need try.
            Err(Unanswered::NotSent(_)) => self.0.close(),
            // Not the endpoint's fault.
            Err(Unanswered::Stranded) => {}
            Err(Unanswered::Failed(_) | Unanswered::Severed) => {
                if let Some(tally) = self.0.tally() {
                    tally.failed();
                }
            }
        }
        answer
    }

    /// What comes first, the answer or the connection's death.
    async fn answered<A>(&self, answer: A, movable: bool) -> Result<Response<Incoming>, Unanswered>
    where
        A: Future<Output = Result<Response<Incoming>, TrySendError<Request<Outbound>>>>,
    {
        let mut answer = std::pin::pin!(answer);
        loop {
            if movable && self.0.gauge().is_stranded() {
                return Err(Unanswered::Stranded);
            }
            tokio::select! {
                biased;
                answer = &mut answer => return answer.map_err(Unanswered::from),
                () = self.0.gauge().over() => {}
            }
            if self.is_severed() {
                break;
            }
            if self.0.gauge().is_over() {
                return answer.await.map_err(Unanswered::from);
            }
        }
        // What was not sent has been handed back, but for what met the end of the connection: see `Lane::sender`.
        self.0.close();
        match std::future::poll_fn(|cx| Poll::Ready(answer.as_mut().poll(cx))).await {
            Poll::Ready(answer) => answer.map_err(Unanswered::from),
            Poll::Pending => Err(Unanswered::Severed),
        }
    }

    /// Whether the connection was killed.
    fn is_severed(&self) -> bool {
        self.0.connection().kill_switch().is_killed()
    }

    /// Ready once the connection was killed; `severance` is kept from one poll to the next, and empty before the first.
    pub(crate) fn poll_severed(&self, severance: &mut Severance, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match severance {
                Severance::Unheard => {
                    *severance = self.0.gauge().over_owned().map_or(Severance::Over, Severance::Awaited);
                }
                Severance::Awaited(over) => {
                    ready!(over.as_mut().poll(cx));
                    // A stranded connection goes on for those who have their answer's head.
                    let stranded = !self.is_severed() && !self.0.gauge().is_over();
                    *severance = if stranded { Severance::Unheard } else { Severance::Over };
                }
                Severance::Over => break,
            }
        }
        // A connection that ended otherwise tells each stream itself.
        if self.is_severed() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    /// What a caller hears of an error of this stream, or of its end before the response's: the death that caused it, if there was one. HTTP/2 loses the
    /// type of what ended its I/O, so the connection remembers.
    pub(crate) fn failed(&self, error: Option<hyper::Error>) -> Error {
        match (self.0.connection().kill_switch().cause(), error) {
            (Some(death), _) => Error::PeerDead(death),
            (None, None) if self.0.gauge().is_stranded() => Error::PeerDead(PeerDead {
                peer: self.0.peer(),
                reason: Reason::Silence,
                at: clock::now(),
            }),
            (None, Some(error)) => Error::Connection {
                peer: self.0.peer(),
                source: Arc::new(error),
            },
            (None, None) => Error::Truncated { peer: self.0.peer() },
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.end();
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use bytes::Bytes;
    use futures_util::future::join_all;
    use http_body::{Body as _, Frame};
    use http_body_util::StreamBody;
    use hyper_util::rt::{TokioExecutor, TokioIo};
    use tokio::net::TcpListener;
    use tokio_test::{assert_pending, assert_ready, task};

    use super::*;
    use crate::client::call::Body;
    use crate::client::pool::driver::{self, Driver};
    use crate::client::pool::gauge::{Gauge, Stage};
    use crate::client::pool::queue::Queue;
    use crate::connection::{DialOptions, GuardedTcp, dial};
    use crate::{Feed, PeerDead, Reason, clock};

    const CALLS: usize = 20;

    const ROUNDS: usize = 4000;

    /// A lane to a peer that takes [`CALLS`] calls, and its driver.
    async fn open(peer: SocketAddr) -> (Arc<Lane>, Driver<GuardedTcp>) {
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

    /// Answers every request with a head, and with a body that does not end.
    async fn answer_by_head(listener: TcpListener) {
        let (io, _) = listener.accept().await.unwrap();
        let service = hyper::service::service_fn(async |_| {
            let body = StreamBody::new(futures_util::stream::pending::<Result<Frame<Bytes>, Infallible>>());
            Ok::<_, Infallible>(Response::new(body))
        });
        let serving = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        serving.serve_connection(TokioIo::new(io), service).await.unwrap();
    }

    /// The driver stands still from the death on, and hyper says nothing of it.
    #[tokio::test]
    async fn a_call_hears_of_a_death_before_its_stream_does() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (lane, mut driver) = open(address).await;
        tokio::spawn(answer_by_head(listener));
        let [answered, unanswered] = std::array::from_fn(|_| Slot::of(&lane).unwrap());
        let answer = tokio::select! {
            answer = answered.send(request(), false) => answer.unwrap(),
            () = &mut driver => panic!("the connection ended"),
        };
        let body = Body::wrap(answer, answered, &http::Method::GET, false).into_body();
        let (mut body, mut answer) = (task::spawn(body), task::spawn(unanswered.send(request(), false)));
        assert_pending!(body.enter(|cx, body| body.poll_frame(cx)));
        assert_pending!(answer.poll());

        let death = PeerDead {
            peer: address,
            reason: Reason::Stalled,
            at: clock::now(),
        };
        lane.connection().kill_switch().kill(death.clone());
        lane.gauge().reach(Stage::Closed);
        assert!(body.is_woken() && answer.is_woken());
        assert!(matches!(assert_ready!(answer.poll()), Err(Unanswered::Severed)));
        let end = assert_ready!(body.enter(|cx, body| body.poll_frame(cx)));
        assert!(matches!(end, Some(Err(Error::PeerDead(cause))) if cause == death));
    }

    /// The moment is too short to be met on purpose, so it is met by number.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn no_call_stays_behind_in_a_connection_that_ends_while_it_is_sent() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        for round in 0..ROUNDS {
            let (lane, driver) = open(listener.local_addr().unwrap()).await;
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
                        slot.send(request(), false).await
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
