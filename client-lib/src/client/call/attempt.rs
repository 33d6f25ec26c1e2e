//! A call from request to response: choose, send, and where the ladder allows, elsewhere again.

use std::net::SocketAddr;
use std::sync::Arc;

use http::request::Parts;
use http::{Request, Response};
use tracing::Instrument as _;

use super::hedge::hedged;
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
    let begun = pool.age();
    let span = tracing::debug_span!("call", method = %head.method, path = head.uri.path());
    let answer = async {
        head::complete(&mut head, pool.scheme(), pool.authority())?;
        let payload = Payload::gather(body)
            .await
            .map_err(|error| Error::RequestBody(error.into()))?;
        answer(&pool, &head, &payload, grpc).await
    };
    let answer = answer.instrument(span).await;
    pool.telemetry()
        .call(answer.as_ref().err(), || pool.age().saturating_sub(begun));
    match answer {
        Err(error) if grpc => Ok(grpc::unavailable(&error)),
        answer => answer,
    }
}

async fn answer(pool: &Pool, head: &Parts, payload: &Payload, grpc: bool) -> Result<Response<Body>, Error> {
    pool.stir();
    pool.budget().deposit(|| pool.age());
    let mut tried = Tried::default();
    let mut call = Attempted {
        idempotent: pool.classifier().idempotent(head),
        replayable: true,
        unpaid: 0,
        unprocessed: 0,
        repeats: 0,
    };
    let hedge = pool.hedge_after().filter(|_| call.idempotent && payload.is_whole());
    loop {
        let slot = pool.slot(head, &tried).await?;
        let answered = match hedge {
            None => attempt(slot, head, payload, call.idempotent).await,
            Some(pause) => hedged(pool, head, payload, slot, pause, &mut tried).await,
        };
        let Failed { peer, fate, error } = match answered {
            Ok((response, slot)) => return Ok(Body::wrap(response, slot, &head.method, grpc)),
            Err(failed) => failed,
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
        pool.telemetry().moved(fate);
        call.unprocessed += u32::from(fate == Fate::Unprocessed);
        tracing::debug!(%peer, ?fate, %error, "call goes elsewhere");
        tried.push(peer);
    }
}

/// An attempt without an answer.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) peer: SocketAddr,
    pub(super) fate: Fate,
    pub(super) error: Error,
}

/// Sends the request on one stream, which comes back with the answer. Cancel safe: dropping the future resets the stream.
pub(super) async fn attempt(
    slot: Slot,
    head: &Parts,
    payload: &Payload,
    idempotent: bool,
) -> Result<(Response<hyper::body::Incoming>, Slot), Failed> {
    let request = head::request(head, payload.attempt());
    let (fate, error) = match slot.send(request, idempotent && payload.is_whole()).await {
        Ok(response) => return Ok((response, slot)),
        Err(Unanswered::NotSent(error)) => (Fate::NotSent, error),
        Err(Unanswered::Failed(error)) => (fate(&error), Some(error)),
        Err(Unanswered::Stranded) => (Fate::Stranded, None),
        Err(Unanswered::Severed) => (Fate::Unknown, None),
    };
    Err(Failed {
        peer: slot.peer(),
        fate,
        error: slot.failed(error),
    })
}
