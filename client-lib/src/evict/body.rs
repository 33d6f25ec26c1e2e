//! A response on its way from one endpoint.

use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll};

use http_body::{Body, Frame, SizeHint};
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::EvictError;
use crate::connection::KillSwitch;

pin_project_lite::pin_project! {
    /// A response body that ends with [`PeerDead`](crate::PeerDead) when its peer dies. What had arrived is given out first.
    /// A refused dial alone does not end it: a server that drains has closed its listener and goes on answering.
    #[derive(Debug)]
    pub struct EvictBody<B> {
        #[pin]
        inner: B,
        life: KillSwitch,
        // Made when the body first keeps its reader waiting.
        death: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
        ended: bool,
    }
}

impl<B> EvictBody<B> {
    pub(super) fn new(inner: B, life: KillSwitch) -> Self {
        Self {
            inner,
            life,
            death: None,
            ended: false,
        }
    }
}

impl<B: Body> Body for EvictBody<B> {
    type Data = B::Data;
    type Error = EvictError<B::Error>;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let this = self.project();
        if *this.ended {
            return Poll::Ready(None);
        }
        let ended = match this.inner.poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => return Poll::Ready(Some(Ok(frame))),
            Poll::Ready(None) => None,
            Poll::Ready(Some(Err(error))) => Some(this.life.cause().map_or(EvictError::Inner(error), Into::into)),
            Poll::Pending => {
                let life = &*this.life;
                let death = this.death.get_or_insert_with(|| Box::pin(life.killed_owned()));
                if death.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                match life.cause() {
                    Some(cause) if !cause.reason.is_told_by_the_socket() => Some(cause.into()),
                    _ => return Poll::Pending,
                }
            }
        };
        *this.ended = true;
        Poll::Ready(ended.map(Err))
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
