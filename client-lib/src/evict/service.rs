//! The service of one endpoint.

use std::fmt;
use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::Response;
use tokio_util::sync::WaitForCancellationFutureOwned;
use tower_service::Service;

use super::{EvictBody, EvictError, ResponseFuture};
use crate::PeerWatch;
use crate::connection::KillSwitch;

/// A service whose calls end with a typed [`PeerDead`](crate::PeerDead) when its peer dies: those waiting for a response
/// head, those reading a body, and new ones while the peer is dead. Where only its listener is gone (a dial was refused),
/// new calls fail and those in flight go on: a server that drains still answers them, and a dead one's kernel ends them.
///
/// `poll_ready` fails while the peer is dead, and succeeds again when it is back: unlike tower's convention this failure is
/// not for ever. A balancer takes it as the end of the endpoint; [`EvictDiscover`](super::EvictDiscover) brings it back.
pub struct EvictService<S> {
    inner: S,
    watch: PeerWatch,
    waiting: Option<Waiting>,
}

/// A task waits for readiness; it must hear of a death too.
struct Waiting {
    life: KillSwitch,
    death: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl<S> EvictService<S> {
    pub(super) fn new(inner: S, watch: PeerWatch) -> Self {
        Self {
            inner,
            watch,
            waiting: None,
        }
    }

    /// The peer's health.
    #[must_use]
    pub fn watch(&self) -> &PeerWatch {
        &self.watch
    }
}

impl<S: Clone> Clone for EvictService<S> {
    fn clone(&self) -> Self {
        Self::new(self.inner.clone(), self.watch.clone())
    }
}

impl<S: fmt::Debug> fmt::Debug for EvictService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EvictService")
            .field("inner", &self.inner)
            .field("watch", &self.watch)
            .finish_non_exhaustive()
    }
}

impl<S, Request, B> Service<Request> for EvictService<S>
where
    S: Service<Request, Response = Response<B>>,
{
    type Response = Response<EvictBody<B>>;
    type Error = EvictError<S::Error>;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        if let Some(cause) = self.watch.obituary() {
            self.waiting = None;
            return Poll::Ready(Err(cause.into()));
        }
        if let Poll::Ready(ready) = self.inner.poll_ready(cx) {
            self.waiting = None;
            return Poll::Ready(ready.map_err(EvictError::Inner));
        }
        let waiting = self.waiting.get_or_insert_with(|| {
            let life = self.watch.life();
            let death = Box::pin(life.killed_owned());
            Waiting { life, death }
        });
        if waiting.death.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        let cause = waiting.life.cause();
        self.waiting = None;
        match cause {
            Some(cause) => Poll::Ready(Err(cause.into())),
            None => Poll::Pending,
        }
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let life = self.watch.life();
        match life.cause() {
            Some(cause) => ResponseFuture::dead(cause),
            None => ResponseFuture::new(self.inner.call(request), life),
        }
    }
}
