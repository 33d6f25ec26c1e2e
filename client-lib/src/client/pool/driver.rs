//! One task drives a connection: hyper's dispatcher, its connection task, and what waits for each response, joined.
//!
//! With stock spawning the first two run on different threads. A drain's first GOAWAY can then arrive between hyper's sending
//! a request and its asking whether the connection still stands, and the request is told "never processed" although it
//! is on the wire. In one task nothing comes between the two, so a GOAWAY can be believed.
//!
//! The futures that wait for a response head, one a request, are short: it goes to the caller as it comes. In tasks of
//! their own each response wakes two tasks, one after the other; here it wakes its caller's (a tenth of the processor time of a
//! call). And a death is told to all calls at once, before any of those futures is dropped: see [`Driver`].

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use hyper::client::conn::http1;
use hyper::client::conn::http2::{self, Connection, SendRequest};
use hyper::rt::{Executor, Read, Write};
use tokio::time::{Sleep, sleep};

use super::gauge::{Gauge, Stage};
use crate::client::call::Outbound;
use crate::connection::KillSwitch;

/// How long hyper's streams outlive their connection's death at most: callers that hold a response body and do not read
/// it do not hold them longer.
const AFTERLIFE: Duration = Duration::from_millis(100);

/// Calls that hear of a death at once. Between portions this task lets others run: the first call does not wait until the last one of
/// thousands is woken. Fewer than a worker's own queue holds, so that they are run next.
const PORTION: usize = 64;

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// An executor that keeps the futures it is given for the [`Driver`]: first hyper's connection task, then those of each request.
#[derive(Clone, Default)]
pub(crate) struct OneTask(Arc<Mutex<Vec<Task>>>);

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for OneTask {
    fn execute(&self, future: F) {
        self.lock().push(Box::pin(future));
    }
}

impl OneTask {
    fn lock(&self) -> MutexGuard<'_, Vec<Task>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for OneTask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OneTask").field("new", &self.lock().len()).finish()
    }
}

/// Speaks HTTP/2 over `io`. The driver must be polled for anything to happen.
///
/// # Errors
///
/// hyper's, when the preface cannot be written.
pub(crate) async fn http2<T>(
    io: T,
    gauge: Arc<Gauge>,
    kill: KillSwitch,
) -> hyper::Result<(SendRequest<Outbound>, Driver<T>)>
where
    T: Read + Write + Unpin + Send + 'static,
{
    let executor = OneTask::default();
    let (sender, connection) = http2::Builder::new(executor.clone())
        // Nothing is guessed: the limit stays 0 until the peer's SETTINGS say otherwise.
        .initial_max_send_streams(0)
        .handshake(io)
        .await?;
    let task = executor.lock().pop();
    let driver = Driver {
        connection: Some(connection),
        task,
        executor,
        streams: FuturesUnordered::new(),
        untold: 0,
        afterlife: None,
        gauge,
        kill,
    };
    Ok((sender, driver))
}

/// Speaks HTTP/1.1 over `io`; the future completes when the connection is over, and must be polled for anything to happen.
///
/// # Errors
///
/// hyper's; none that is known.
pub(crate) async fn http1<T>(
    io: T,
    gauge: Arc<Gauge>,
) -> hyper::Result<(http1::SendRequest<Outbound>, impl Future<Output = ()> + Send)>
where
    T: Read + Write + Unpin + Send + 'static,
{
    let (sender, connection) = http1::Builder::new().handshake(io).await?;
    // Not dropped when the kill switch is thrown, as HTTP/2's is: what reads a response body would take that for its end.
    // The I/O below fails, and so do both.
    let driver = async move {
        let ended = connection.await;
        if let Err(error) = ended {
            tracing::debug!(%error, "connection ended");
        }
        gauge.reach(Stage::Closed);
    };
    Ok((sender, driver))
}

/// An HTTP/2 connection. Completes when it is over and every stream of it has ended.
///
/// Once its kill switch is thrown, what it carries ends in three steps: what was not sent is handed back; all calls hear of the
/// death; when they are gone, their streams are dropped. hyper by itself would tell one stream of the death after the
/// other and hold a lock meanwhile, which the calls that end first would wait for.
#[must_use = "a connection stands still unless it is driven"]
pub(crate) struct Driver<T: Read + Write + Unpin + Send + 'static> {
    connection: Option<Connection<T, Outbound, OneTask>>,
    task: Option<Task>,
    executor: OneTask,
    streams: FuturesUnordered<Task>,
    /// Calls that have not heard of the connection's death.
    untold: usize,
    /// Of the streams after the connection's death.
    afterlife: Option<Pin<Box<Sleep>>>,
    gauge: Arc<Gauge>,
    kill: KillSwitch,
}

impl<T: Read + Write + Unpin + Send + 'static> Driver<T> {
    /// Completes when nobody needs the streams of the killed connection any more.
    fn poll_killed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.gauge.shut();
        if let Some(connection) = self.connection.take() {
            // Hands back what was not sent.
            drop(connection);
            self.untold = self.gauge.load().in_flight();
        }
        if self.untold > PORTION {
            self.untold -= PORTION;
            self.gauge.tell(PORTION);
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.gauge.reach(Stage::Closed);
        if self.gauge.load().in_flight() == 0 {
            return Poll::Ready(());
        }
        // A call that ends gives up its stream, and so wakes this task.
        let afterlife = self.afterlife.get_or_insert_with(|| Box::pin(sleep(AFTERLIFE)));
        afterlife.as_mut().poll(cx)
    }

    fn poll_streams(&mut self, cx: &mut Context<'_>) {
        while !self.executor.lock().is_empty() || !self.streams.is_empty() {
            self.streams.extend(self.executor.lock().drain(..));
            if self.streams.poll_next_unpin(cx).is_pending() {
                return;
            }
        }
    }
}

impl<T: Read + Write + Unpin + Send + 'static> Future for Driver<T> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        if this.kill.is_killed() {
            return this.poll_killed(cx);
        }
        if let Some(connection) = &mut this.connection
            && let Poll::Ready(ended) = Pin::new(connection).poll(cx)
        {
            if let Err(error) = ended {
                tracing::debug!(%error, "connection ended");
            }
            // Dropped at once: requests still queued in it are handed back, those in flight go on in the other half.
            this.gauge.reach(Stage::Closing);
            this.connection = None;
        }
        if let Some(task) = &mut this.task
            && task.as_mut().poll(cx).is_ready()
        {
            this.task = None;
        }
        this.poll_streams(cx);
        if let Some(connection) = &this.connection {
            this.gauge.limit(connection.current_max_send_streams());
        }
        if this.connection.is_none() && this.task.is_none() && this.streams.is_empty() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

impl<T: Read + Write + Unpin + Send + 'static> Drop for Driver<T> {
    fn drop(&mut self) {
        self.connection = None;
        self.gauge.reach(Stage::Closed);
    }
}
