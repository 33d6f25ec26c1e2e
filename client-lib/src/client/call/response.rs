//! The response on its way back to the caller: its body, watched to its true end.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, Method, Response, StatusCode};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;

use super::grpc;
use crate::client::Error;
use crate::client::pool::{Severance, Slot};

/// A response body of [`Client`](crate::Client).
///
/// Occupies a stream of its endpoint until it ended or is dropped. A body that a death cut short ends with
/// [`Error::PeerDead`]; one that ends before its content length, or without the trailers gRPC promises, with
/// [`Error::Truncated`] (HTTP/2 shows a graceful GOAWAY in mid-body as a clean end). To a gRPC caller both come as
/// trailers with status UNAVAILABLE.
pub struct Body(Option<Box<Live>>);

struct Live {
    incoming: Incoming,
    slot: Slot,
    severance: Severance,
    /// Failures become trailers.
    grpc: bool,
    /// The protocol promises trailers and none came so far.
    trailers_due: bool,
    /// Bytes still to come, where the head announced them.
    remaining: Option<u64>,
}

impl Body {
    /// A body that has ended.
    pub(crate) fn empty() -> Self {
        Self(None)
    }

    /// Wraps what hyper received. `method` and `grpc` are the request's.
    pub(crate) fn wrap(response: Response<Incoming>, slot: Slot, method: &Method, grpc: bool) -> Response<Self> {
        response_map(response, |head, status, incoming| {
            if incoming.is_end_stream() {
                return Self(None);
            }
            let bodyless = method == Method::HEAD || status == StatusCode::NOT_MODIFIED;
            let length = head
                .get(CONTENT_LENGTH)
                .and_then(|value| value.to_str().ok()?.parse().ok());
            Self(Some(Box::new(Live {
                incoming,
                slot,
                severance: Severance::default(),
                grpc,
                trailers_due: grpc && grpc::is_grpc(head) && !head.contains_key("grpc-status"),
                remaining: if bodyless { None } else { length },
            })))
        })
    }
}

fn response_map(
    response: Response<Incoming>,
    wrap: impl FnOnce(&HeaderMap, StatusCode, Incoming) -> Body,
) -> Response<Body> {
    let (head, incoming) = response.into_parts();
    let body = wrap(&head.headers, head.status, incoming);
    Response::from_parts(head, body)
}

impl Live {
    /// What a caller gets in place of the rest.
    fn failure(&self, error: Error) -> Result<Frame<Bytes>, Error> {
        if self.grpc {
            Ok(Frame::trailers(grpc::status(&error)))
        } else {
            Err(error)
        }
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let Some(live) = &mut self.0 else {
            return Poll::Ready(None);
        };
        let frame = match Pin::new(&mut live.incoming).poll_frame(cx) {
            Poll::Ready(frame) => frame,
            Poll::Pending => {
                ready!(live.slot.poll_severed(&mut live.severance, cx));
                let last = live.failure(live.slot.failed(None));
                self.0 = None;
                return Poll::Ready(Some(last));
            }
        };
        let last = match frame {
            Some(Ok(frame)) => {
                if let (Some(data), Some(remaining)) = (frame.data_ref(), &mut live.remaining) {
                    *remaining = remaining.saturating_sub(data.remaining() as u64);
                }
                if frame.is_trailers() {
                    live.trailers_due = false;
                }
                if live.incoming.is_end_stream() && !live.trailers_due && live.remaining.unwrap_or(0) == 0 {
                    self.0 = None;
                }
                return Poll::Ready(Some(Ok(frame)));
            }
            Some(Err(error)) => Some(live.failure(live.slot.failed(Some(error)))),
            None if live.trailers_due || live.remaining.unwrap_or(0) > 0 => Some(live.failure(live.slot.failed(None))),
            None => None,
        };
        // Frees the stream now, not when the caller drops the body.
        self.0 = None;
        Poll::Ready(last)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        self.0
            .as_ref()
            .map_or(SizeHint::with_exact(0), |live| live.incoming.size_hint())
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").field("ended", &self.0.is_none()).finish()
    }
}
