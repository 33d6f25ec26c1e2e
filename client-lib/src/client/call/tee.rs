//! What was sent of a streaming body, kept up to a bound so that it can be sent again.

use std::collections::VecDeque;
use std::error::Error as StdError;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

use super::payload::{BoxError, KEPT_BYTES};

/// The caller's body, not `Sync`: only ever polled under the tee's lock.
type Source = Pin<Box<dyn Body<Data = Bytes, Error = BoxError> + Send>>;

/// A frame that can be cloned.
#[derive(Clone)]
enum Kept {
    Data(Bytes),
    Trailers(HeaderMap),
}

impl Kept {
    fn frame(self) -> Frame<Bytes> {
        match self {
            Self::Data(data) => Frame::data(data),
            Self::Trailers(trailers) => Frame::trailers(trailers),
        }
    }
}

/// A streaming body and what was read of it.
pub(crate) struct Tee {
    hint: SizeHint,
    state: Mutex<State>,
}

struct State {
    source: Source,
    /// Everything read so far, unless `spilled`. In a spilled tee: what the current turn has yet to yield.
    kept: VecDeque<Kept>,
    bytes: usize,
    /// More was sent than is kept.
    spilled: bool,
    ended: bool,
    failure: Option<Arc<dyn StdError + Send + Sync>>,
    /// The number of the attempt that may read.
    turn: u64,
}

/// One attempt's reading of a [`Tee`].
pub(crate) struct Turn {
    tee: Arc<Tee>,
    turn: u64,
    next: usize,
}

/// Another attempt took over the body.
#[derive(Debug, thiserror::Error)]
#[error("the call moved to another endpoint")]
struct Superseded;

/// A caller's body panicked.
#[derive(Debug, thiserror::Error)]
#[error("the request body panicked")]
struct Panicked;

impl Tee {
    /// `frames` were already read from `source`; `hint` was the size before.
    pub(crate) fn new(frames: impl Iterator<Item = Frame<Bytes>>, hint: SizeHint, source: Source) -> Self {
        let mut state = State {
            source,
            kept: VecDeque::new(),
            bytes: 0,
            spilled: false,
            ended: false,
            failure: None,
            turn: 0,
        };
        for frame in frames {
            let kept = state.keep(frame);
            state.kept.extend(kept);
        }
        Self {
            hint,
            state: Mutex::new(state),
        }
    }

    /// Begins an attempt.
    pub(crate) fn turn(tee: &Arc<Self>) -> Turn {
        let mut state = tee.lock();
        state.turn += 1;
        Turn {
            tee: tee.clone(),
            turn: state.turn,
            next: 0,
        }
    }

    pub(crate) fn replayable(&self) -> bool {
        let state = self.lock();
        !state.spilled && state.failure.is_none()
    }

    pub(crate) fn failure(&self) -> Option<Arc<dyn StdError + Send + Sync>> {
        self.lock().failure.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Turns a frame of the source into one that can be kept.
    fn keep(&mut self, frame: Frame<Bytes>) -> Option<Kept> {
        match frame.into_data() {
            Ok(data) => {
                self.bytes += data.len();
                Some(Kept::Data(data))
            }
            Err(frame) => frame.into_trailers().ok().map(Kept::Trailers),
        }
    }
}

/// Reads the caller's body. Its panic becomes its error: other calls share the task it runs in.
fn poll_caught(source: &mut Source, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
    let frame = catch_unwind(AssertUnwindSafe(|| source.as_mut().poll_frame(cx)));
    frame.unwrap_or_else(|_| Poll::Ready(Some(Err(Box::new(Panicked)))))
}

impl Turn {
    pub(crate) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut guard = self.tee.lock();
        let state = &mut *guard;
        if state.turn != self.turn {
            return Poll::Ready(Some(Err(Box::new(Superseded))));
        }
        if state.spilled {
            if let Some(kept) = state.kept.pop_front() {
                return Poll::Ready(Some(Ok(kept.frame())));
            }
        } else if let Some(kept) = state.kept.get(self.next).cloned() {
            self.next += 1;
            if state.bytes > KEPT_BYTES {
                // The part read before the first attempt was already too long to keep, and now it goes out.
                state.spilled = true;
                state.kept.drain(..self.next);
            }
            return Poll::Ready(Some(Ok(kept.frame())));
        }
        if state.ended {
            return Poll::Ready(None);
        }
        let Some(frame) = ready!(poll_caught(&mut state.source, cx)) else {
            state.ended = true;
            return Poll::Ready(None);
        };
        match frame {
            Err(error) => {
                let error: Arc<dyn StdError + Send + Sync> = Arc::from(error);
                state.failure = Some(error.clone());
                state.ended = true;
                Poll::Ready(Some(Err(error.to_string().into())))
            }
            Ok(frame) => {
                let Some(kept) = state.keep(frame) else {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                };
                if state.bytes > KEPT_BYTES {
                    state.spilled = true;
                    state.kept.clear();
                } else if !state.spilled {
                    state.kept.push_back(kept.clone());
                    self.next += 1;
                }
                Poll::Ready(Some(Ok(kept.frame())))
            }
        }
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        let state = self.tee.lock();
        let read_all = if state.spilled {
            state.kept.is_empty()
        } else {
            self.next == state.kept.len()
        };
        read_all && (state.ended || state.source.is_end_stream())
    }

    /// The whole body's size, for a content length; meaningful before the first frame.
    pub(crate) fn size_hint(&self) -> SizeHint {
        if self.next == 0 {
            self.tee.hint
        } else {
            SizeHint::default()
        }
    }
}
