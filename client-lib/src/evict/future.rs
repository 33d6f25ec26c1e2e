//! A call in flight to one endpoint.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::Response;
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::{EvictBody, EvictError};
use crate::PeerDead;
use crate::connection::KillSwitch;

pin_project_lite::pin_project! {
    /// The response of an [`EvictService`](super::EvictService), or the end of its peer.
    #[derive(Debug)]
    pub struct ResponseFuture<F> {
        #[pin]
        state: State<F>,
    }
}

pin_project_lite::pin_project! {
    #[project = StateProjection]
    #[derive(Debug)]
    enum State<F> {
        InFlight {
            #[pin]
            inner: F,
            #[pin]
            death: WaitForCancellationFutureOwned,
            life: KillSwitch,
        },
        Dead { cause: Option<PeerDead> },
    }
}

impl<F> ResponseFuture<F> {
    pub(super) fn new(inner: F, life: KillSwitch) -> Self {
        let death = life.killed_owned();
        Self {
            state: State::InFlight { inner, death, life },
        }
    }

    pub(super) fn dead(cause: PeerDead) -> Self {
        Self {
            state: State::Dead { cause: Some(cause) },
        }
    }
}

impl<F, B, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<EvictBody<B>>, EvictError<E>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProjection::Dead { cause } => match cause.take() {
                Some(cause) => Poll::Ready(Err(cause.into())),
                None => Poll::Pending,
            },
            StateProjection::InFlight { inner, death, life } => {
                // First what has arrived: a response that is here is worth more than an obituary.
                if let Poll::Ready(result) = inner.poll(cx) {
                    return Poll::Ready(match (result, life.cause()) {
                        (Ok(response), _) => Ok(response.map(|body| EvictBody::new(body, life.clone()))),
                        (Err(_), Some(cause)) => Err(cause.into()),
                        (Err(error), None) => Err(EvictError::Inner(error)),
                    });
                }
                if death.poll(cx).is_pending() {
                    return Poll::Pending;
                }
                match life.cause() {
                    Some(cause) if !cause.reason.is_told_by_the_socket() => Poll::Ready(Err(cause.into())),
                    // The connection hears for itself whether it is over: a server that drains still answers.
                    _ => Poll::Pending,
                }
            }
        }
    }
}
