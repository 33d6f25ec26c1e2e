//! Calls that stream. A pod says nothing, not even the head of its response, before its first answer: as most servers do, and so
//! that a call of which nothing came can still be made elsewhere.

use std::future::ready;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{once, try_unfold};
use futures_util::{Stream, StreamExt as _};
use tokio::time::{Instant, sleep_until};
use tonic::{Response, Status, Streaming};

use super::proto::{CallRequest, CallResponse};
use super::service::Pod;
use crate::clock::timer_now;
use crate::scenario::MESSAGES;

/// What a pod answers with.
pub(super) type Answers = Pin<Box<dyn Stream<Item = Result<CallResponse, Status>> + Send>>;

/// A call that goes on.
struct Ongoing {
    pod: Arc<Pod>,
    id: u64,
    began: Instant,
    think: Duration,
}

impl Ongoing {
    /// Begins with the first request of a call.
    fn begin(pod: &Arc<Pod>, id: u64) -> Result<Self, Status> {
        Ok(Self {
            began: timer_now(),
            think: pod.received(id)?,
            id,
            pod: pod.clone(),
        })
    }

    /// The answer with this number, counted from 1, once so many fifths of the think time are over: what was late does not delay
    /// what follows.
    async fn answer(&self, number: u32) -> Result<CallResponse, Status> {
        sleep_until(self.began + self.think * number / MESSAGES).await;
        if number == MESSAGES {
            self.pod.finished(self.id)?;
        }
        Ok(self.pod.response())
    }

    /// The request with this number.
    async fn request(&self, number: u32, requests: &mut Streaming<CallRequest>) -> Result<(), Status> {
        match requests.message().await? {
            Some(request) if request.id == self.id => Ok(()),
            Some(request) => Err(Status::invalid_argument(format!(
                "request {number} of call {} is of call {}",
                self.id, request.id
            ))),
            None => Err(Status::invalid_argument(format!(
                "call {} ends before its request {number} of {MESSAGES}",
                self.id
            ))),
        }
    }
}

/// Begins with the first of `requests`.
async fn begin(pod: &Arc<Pod>, requests: &mut Streaming<CallRequest>) -> Result<Ongoing, Status> {
    let first = requests.message().await?;
    let first = first.ok_or_else(|| Status::invalid_argument("a call without a request"))?;
    Ongoing::begin(pod, first.id)
}

/// All of `requests`, then one answer.
pub(super) async fn client(
    pod: &Arc<Pod>,
    mut requests: Streaming<CallRequest>,
) -> Result<Response<CallResponse>, Status> {
    let call = begin(pod, &mut requests).await?;
    for number in 2..=MESSAGES {
        call.request(number, &mut requests).await?;
    }
    if requests.message().await?.is_some() {
        return Err(Status::invalid_argument(format!(
            "call {} has more than {MESSAGES} requests",
            call.id
        )));
    }
    Ok(Response::new(call.answer(MESSAGES).await?))
}

/// One request, then all answers.
pub(super) async fn server(pod: &Arc<Pod>, id: u64) -> Result<Response<Answers>, Status> {
    answers(Ongoing::begin(pod, id)?, None).await
}

/// An answer to each of `requests`.
pub(super) async fn bidi(pod: &Arc<Pod>, mut requests: Streaming<CallRequest>) -> Result<Response<Answers>, Status> {
    answers(begin(pod, &mut requests).await?, Some(requests)).await
}

/// The answers, of which the first is waited for, each to one of `requests` if there are such.
async fn answers(call: Ongoing, requests: Option<Streaming<CallRequest>>) -> Result<Response<Answers>, Status> {
    let first = call.answer(1).await?;
    let rest = try_unfold((call, requests, 2), |(call, mut requests, number)| async move {
        if number > MESSAGES {
            return Ok(None);
        }
        if let Some(requests) = &mut requests {
            call.request(number, requests).await?;
        }
        let answer = call.answer(number).await?;
        Ok(Some((answer, (call, requests, number + 1))))
    });
    Ok(Response::new(Box::pin(once(ready(Ok(first))).chain(rest))))
}
