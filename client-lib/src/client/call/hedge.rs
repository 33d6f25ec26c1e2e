//! Hedged calls: a second attempt elsewhere when the first is slow or its endpoint is suspected, and the first answer wins.

use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use http::Response;
use http::request::Parts;
use hyper::body::Incoming;

use super::attempt::{Failed, attempt};
use super::payload::Payload;
use crate::client::pool::{Pool, Slot, Tried};
use crate::client::retry::Fate;

/// Attempts on `slot` and, if no answer came after `pause` or until its endpoint is suspected, on another endpoint too, where
/// one has a free stream and the budget a token. Those who are asked and do not answer first have their stream reset.
///
/// Of several failures the one that leaves most open is returned; `tried` has every endpoint that was asked.
pub(super) async fn hedged(
    pool: &Pool,
    head: &Parts,
    payload: &Payload,
    slot: Slot,
    pause: Duration,
    tried: &mut Tried,
) -> Result<(Response<Incoming>, Slot), Failed> {
    let mut attempts = FuturesUnordered::new();
    tried.push(slot.peer());
    let doubted = slot.doubted().fuse();
    let mut doubted = std::pin::pin!(doubted);
    attempts.push(attempt(slot, head, payload, true));
    let slow = tokio::time::sleep(pause).fuse();
    let mut slow = std::pin::pin!(slow);
    let mut alone = true;
    let mut failure: Option<Failed> = None;
    loop {
        tokio::select! {
            biased;
            Some(answered) = attempts.next() => match answered {
                Ok(answer) => return Ok(answer),
                Err(failed) => {
                    let worst = match failure.take() {
                        Some(other) if gravity(other.fate) >= gravity(failed.fate) => other,
                        _ => failed,
                    };
                    if attempts.is_empty() {
                        return Err(worst);
                    }
                    failure = Some(worst);
                    continue;
                }
            },
            // Once each: where the suspicion found nobody else, the pause may.
            () = &mut doubted, if alone => {}
            () = &mut slow, if alone => {}
        }
        if let Some(slot) = pool.other_slot(head, tried)
            && pool.budget().withdraw(pool.age())
        {
            alone = false;
            pool.telemetry().hedged();
            tracing::debug!(peer = %slot.peer(), "call is hedged");
            tried.push(slot.peer());
            attempts.push(attempt(slot, head, payload, true));
        }
    }
}

/// The higher, the less may be done about it.
fn gravity(fate: Fate) -> u8 {
    match fate {
        Fate::NotSent => 0,
        Fate::SentAway => 1,
        Fate::Unprocessed => 2,
        Fate::Stranded => 3,
        Fate::Unknown => 4,
    }
}
