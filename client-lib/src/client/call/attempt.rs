//! A call from request to response: choose, send, and where the ladder allows, elsewhere again.

use std::sync::Arc;

use http::request::Parts;
use http::{Request, Response};

use super::payload::{BoxError, Payload};
use super::response::Body;
use super::{grpc, head};
use crate::client::Error;
use crate::client::pool::{Pool, Slot, Tried, Unanswered};
use crate::client::retry::{Again, Attempted, Fate, again, fate};

/// Makes one call. gRPC callers hear of failures in a response, all others in the error.
pub(crate) async fn call<B>(pool: Arc<Pool>, request: Request<B>) -> Result<Response<Body>, Error>
where
    B: http_body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    let (mut head, body) = request.into_parts();
    let grpc = grpc::is_grpc(&head.headers);
    let answer = async {
        head::complete(&mut head, pool.scheme(), pool.authority())?;
        let payload = Payload::gather(body)
            .await
            .map_err(|error| Error::RequestBody(error.into()))?;
        answer(&pool, &head, &payload, grpc).await
    };
    match answer.await {
        Err(error) if grpc => Ok(grpc::unavailable(&error)),
        answer => answer,
    }
}

async fn answer(pool: &Pool, head: &Parts, payload: &Payload, grpc: bool) -> Result<Response<Body>, Error> {
    pool.budget().deposit(|| pool.age());
    let mut tried = Tried::default();
    let mut call = Attempted {
        idempotent: pool.classifier().idempotent(head),
        replayable: true,
        unpaid: 0,
        unprocessed: 0,
        repeats: 0,
    };
    loop {
        let slot = pool.slot(head, &tried).await?;
        let (fate, error) = match attempt(&slot, head, payload).await {
            Ok(response) => return Ok(Body::wrap(response, slot, &head.method, grpc)),
            Err(failure) => failure,
        };
        if let Some(failure) = payload.failure() {
            return Err(Error::RequestBody(failure));
        }
        call.replayable = payload.replayable();
        match again(fate, call) {
            Again::Free => call.unpaid += 1,
            Again::IfBudget if pool.budget().withdraw(pool.age()) => call.repeats += 1,
            Again::IfBudget | Again::Never => return Err(error),
        }
        call.unprocessed += u32::from(fate == Fate::Unprocessed);
        tracing::debug!(peer = %slot.peer(), ?fate, %error, "call goes elsewhere");
        tried.push(slot.peer());
    }
}

async fn attempt(
    slot: &Slot,
    head: &Parts,
    payload: &Payload,
) -> Result<Response<hyper::body::Incoming>, (Fate, Error)> {
    let request = head::request(head, payload.attempt());
    slot.send(request).await.map_err(|failure| match failure {
        Unanswered::NotSent(error) => (Fate::NotSent, slot.failed(error)),
        Unanswered::Failed(error) => (fate(&error), slot.failed(Some(error))),
    })
}
