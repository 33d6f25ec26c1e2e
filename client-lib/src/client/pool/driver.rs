//! One task drives a connection: hyper's dispatcher and its connection task, joined.
//!
//! With stock spawning the two run on different threads. A drain's first GOAWAY can then arrive between hyper's sending
//! a request and its asking whether the connection still stands, and the request is told "never processed" although it
//! is on the wire. In one task nothing comes between the two, so a GOAWAY can be believed.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use hyper::client::conn::http1;
use hyper::client::conn::http2::{self, Connection, SendRequest};
use hyper::rt::{Executor, Read, Write};

use super::gauge::{Gauge, Stage};
use crate::client::call::Outbound;
use crate::connection::KillSwitch;

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// An executor that keeps the first future it is given, hyper's connection task, for the [`Driver`]; those after it,
/// one for each request, are spawned.
#[derive(Debug, Clone, Default)]
pub(crate) struct OneTask(Arc<Mutex<Keep>>);

#[derive(Default)]
enum Keep {
    #[default]
    Expecting,
    Kept(Task),
    Taken,
}

impl std::fmt::Debug for Keep {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Expecting => "Expecting",
            Self::Kept(_) => "Kept",
            Self::Taken => "Taken",
        })
    }
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for OneTask {
    fn execute(&self, future: F) {
        let mut keep = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*keep, Keep::Expecting) {
            *keep = Keep::Kept(Box::pin(future));
        } else {
            drop(keep);
            tokio::spawn(future);
        }
    }
}

impl OneTask {
    fn take(&self) -> Option<Task> {
        let mut keep = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match std::mem::replace(&mut *keep, Keep::Taken) {
            Keep::Kept(task) => Some(task),
            Keep::Expecting | Keep::Taken => None,
        }
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
    let driver = Driver {
        connection: Some(connection),
        task: executor.take(),
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

/// Both halves of an HTTP/2 connection. Completes when the connection is over and every stream of it has ended.
#[must_use = "a connection stands still unless it is driven"]
pub(crate) struct Driver<T: Read + Write + Unpin + Send + 'static> {
    connection: Option<Connection<T, Outbound, OneTask>>,
    task: Option<Task>,
    gauge: Arc<Gauge>,
    kill: KillSwitch,
}

impl<T: Read + Write + Unpin + Send + 'static> Future for Driver<T> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        if this.kill.is_killed() {
            // What is still queued has not been sent and is handed back, not failed with the rest.
            this.gauge.reach(Stage::Closing);
            this.connection = None;
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
        if let Some(connection) = &this.connection {
            this.gauge.limit(connection.current_max_send_streams());
        }
        if this.connection.is_none() && this.task.is_none() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

impl<T: Read + Write + Unpin + Send + 'static> Drop for Driver<T> {
    fn drop(&mut self) {
        self.gauge.reach(Stage::Closed);
    }
}
