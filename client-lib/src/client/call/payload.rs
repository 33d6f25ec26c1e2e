//! Between the caller's request body and the wire: a body that can be sent again.

use std::error::Error as StdError;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

use super::tee::{Tee, Turn};

pub(crate) type BoxError = Box<dyn StdError + Send + Sync>;

/// How much of a body is kept for sending it again. What is longer can be moved only before it was touched.
pub(crate) const KEPT_BYTES: usize = 64 * 1024;

/// The body of one call, whatever the number of attempts.
pub(crate) enum Payload {
    /// All of it is here: the common case of unary calls, recognised by the body yielding everything at once.
    Whole { data: Bytes, trailers: Option<HeaderMap> },
    /// It comes as it comes; what was sent is kept up to [`KEPT_BYTES`].
    Streaming(Arc<Tee>),
}

impl Payload {
    /// Takes what `body` yields without waiting.
    pub(crate) async fn gather<B>(body: B) -> Result<Self, BoxError>
    where
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<BoxError>,
    {
        if body.is_end_stream() {
            return Ok(Self::Whole {
                data: Bytes::new(),
                trailers: None,
            });
        }
        let hint = body.size_hint();
        let mut body = Box::pin(body);
        let mut chunks: Vec<Bytes> = Vec::new();
        let mut bytes = 0;
        let mut trailers = None;
        while bytes <= KEPT_BYTES {
            match poll_fn(|cx| Poll::Ready(body.as_mut().poll_frame(cx))).await {
                Poll::Pending => break,
                Poll::Ready(Some(Err(error))) => return Err(error.into()),
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(mut data) => {
                        let chunk = data.copy_to_bytes(data.remaining());
                        bytes += chunk.len();
                        chunks.push(chunk);
                    }
                    Err(frame) => trailers = frame.into_trailers().ok(),
                },
                Poll::Ready(None) => {
                    return Ok(Self::Whole {
                        data: join(chunks),
                        trailers,
                    });
                }
            }
        }
        let frames = chunks.into_iter().map(Frame::data).chain(trailers.map(Frame::trailers));
        Ok(Self::Streaming(Arc::new(Tee::new(frames, hint, Box::pin(Plain(body))))))
    }

    /// Whether attempts can send it side by side.
    pub(crate) fn is_whole(&self) -> bool {
        matches!(self, Self::Whole { .. })
    }

    /// Whether another [`attempt`](Self::attempt) would send all of it.
    pub(crate) fn replayable(&self) -> bool {
        match self {
            Self::Whole { .. } => true,
            Self::Streaming(tee) => tee.replayable(),
        }
    }

    /// The error of the caller's own body, when that is what failed an attempt.
    pub(crate) fn failure(&self) -> Option<Arc<dyn StdError + Send + Sync>> {
        match self {
            Self::Whole { .. } => None,
            Self::Streaming(tee) => tee.failure(),
        }
    }

    /// A body for one attempt, from the first byte. Attempts begun earlier yield nothing more.
    pub(crate) fn attempt(&self) -> Outbound {
        match self {
            Self::Whole { data, trailers } => Outbound::Whole {
                data: data.clone(),
                trailers: trailers.clone().map(Box::new),
            },
            Self::Streaming(tee) => Outbound::Streaming(Tee::turn(tee)),
        }
    }
}

fn join(mut chunks: Vec<Bytes>) -> Bytes {
    if chunks.len() <= 1 {
        return chunks.pop().unwrap_or_default();
    }
    let mut all = BytesMut::with_capacity(chunks.iter().map(Bytes::len).sum());
    for chunk in chunks {
        all.extend_from_slice(&chunk);
    }
    all.freeze()
}

/// One attempt's body: the one type that hyper's connections send.
pub(crate) enum Outbound {
    Whole {
        data: Bytes,
        trailers: Option<Box<HeaderMap>>,
    },
    Streaming(Turn),
}

impl Body for Outbound {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.get_mut() {
            Self::Whole { data, .. } if !data.is_empty() => Poll::Ready(Some(Ok(Frame::data(std::mem::take(data))))),
            Self::Whole { trailers, .. } => Poll::Ready(trailers.take().map(|trailers| Ok(Frame::trailers(*trailers)))),
            Self::Streaming(turn) => turn.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole { data, trailers } => data.is_empty() && trailers.is_none(),
            Self::Streaming(turn) => turn.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole { data, .. } => SizeHint::with_exact(data.len() as u64),
            Self::Streaming(turn) => turn.size_hint(),
        }
    }
}

/// The caller's body with its data as [`Bytes`] and its error boxed.
struct Plain<B>(Pin<Box<B>>);

impl<B> Body for Plain<B>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.0.as_mut().poll_frame(cx).map(|frame| {
            frame.map(|frame| {
                frame
                    .map(|frame| frame.map_data(|mut data| data.copy_to_bytes(data.remaining())))
                    .map_err(Into::into)
            })
        })
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, Empty, Full, StreamBody};

    use super::*;

    async fn sent(body: Outbound) -> Bytes {
        body.collect().await.unwrap().to_bytes()
    }

    #[tokio::test]
    async fn a_body_that_is_all_there_is_sent_as_often_as_asked() {
        let payload = Payload::gather(Full::new(Bytes::from_static(b"hello"))).await.unwrap();
        assert!(matches!(payload, Payload::Whole { .. }));
        for _ in 0..3 {
            assert!(payload.replayable());
            assert_eq!(sent(payload.attempt()).await, "hello");
        }
    }

    #[tokio::test]
    async fn an_empty_body_ends_the_stream_with_the_head() {
        let payload = Payload::gather(Empty::<Bytes>::new()).await.unwrap();
        assert!(payload.attempt().is_end_stream());
    }

    #[tokio::test]
    async fn a_stream_is_sent_again_from_its_first_byte_and_its_first_attempt_falls_silent() {
        let (chunks, stream) = tokio::sync::mpsc::unbounded_channel::<&'static str>();
        let body = StreamBody::new(futures_util::stream::unfold(stream, |mut stream| async move {
            let chunk = stream.recv().await?;
            Some((
                Ok::<_, BoxError>(Frame::data(Bytes::from_static(chunk.as_bytes()))),
                stream,
            ))
        }));
        chunks.send("one ").unwrap();
        let payload = Payload::gather(body).await.unwrap();
        assert!(matches!(payload, Payload::Streaming(_)));
        let mut first = payload.attempt();
        assert_eq!(first.frame().await.unwrap().unwrap().into_data().unwrap(), "one ");
        chunks.send("two").unwrap();
        assert_eq!(first.frame().await.unwrap().unwrap().into_data().unwrap(), "two");
        assert!(payload.replayable());
        let second = payload.attempt();
        drop(chunks);
        assert_eq!(sent(second).await, "one two");
        assert!(first.frame().await.unwrap().is_err());
    }

    #[tokio::test]
    async fn a_body_longer_than_is_kept_is_not_replayable_once_it_went_out() {
        let chunk = Bytes::from(vec![7; KEPT_BYTES / 2 + 1]);
        let frames = (0..3).map(move |_| Ok::<_, BoxError>(Frame::data(chunk.clone())));
        let payload = Payload::gather(StreamBody::new(futures_util::stream::iter(frames)))
            .await
            .unwrap();
        assert!(payload.replayable());
        let all = sent(payload.attempt()).await;
        assert_eq!(all.len(), 3 * (KEPT_BYTES / 2 + 1));
        assert!(!payload.replayable());
    }

    #[tokio::test]
    async fn a_body_that_fails_later_says_so() {
        let (chunks, stream) = tokio::sync::mpsc::unbounded_channel::<Result<Frame<Bytes>, BoxError>>();
        let body = StreamBody::new(futures_util::stream::unfold(stream, |mut stream| async move {
            Some((stream.recv().await?, stream))
        }));
        let payload = Payload::gather(body).await.unwrap();
        let mut attempt = payload.attempt();
        chunks.send(Err("the disk is gone".into())).unwrap();
        assert!(attempt.frame().await.unwrap().is_err());
        assert_eq!(payload.failure().unwrap().to_string(), "the disk is gone");
        assert!(!payload.replayable());
    }

    #[tokio::test]
    async fn a_body_that_panics_fails_alone() {
        let (chunks, stream) = tokio::sync::mpsc::unbounded_channel::<()>();
        let body = StreamBody::new(futures_util::stream::unfold(stream, |mut stream| async move {
            let () = stream.recv().await.expect("as a caller's code may fail");
            Some((Ok::<Frame<Bytes>, BoxError>(Frame::data(Bytes::new())), stream))
        }));
        let payload = Payload::gather(body).await.unwrap();
        let mut attempt = payload.attempt();
        drop(chunks);
        assert!(attempt.frame().await.unwrap().is_err());
        assert_eq!(payload.failure().unwrap().to_string(), "the request body panicked");
    }
}
