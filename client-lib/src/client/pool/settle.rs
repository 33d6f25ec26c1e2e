//! How a suspicion of an endpoint whose connection stands is settled.

use super::confirm::{Answer, Confirm};
use super::ending::{Ended, Silent, over};
use super::lane::Lane;
use super::own_side::OWN_SIDE_LASTS;
use crate::client::event::Cause;
use crate::clock;

/// What came of a suspicion.
pub(super) enum Settled {
    /// It lives, or nothing can be known of it now.
    Stands,
    /// It does not answer, and why.
    Gone(Cause),
    /// The connection came to its end meanwhile.
    Ended(Ended),
}

/// Asks the endpoint, while `silent` goes on: it may be asking too, and both wait for one another's dials. Cancel safe.
pub(super) async fn settle(lane: &Lane, silent: &mut Silent, confirm: &Confirm) -> Settled {
    tokio::select! {
        biased;
        ended = over(lane, silent) => Settled::Ended(ended),
        settled = Box::pin(asked(lane, confirm)) => settled,
    }
}

async fn asked(lane: &Lane, confirm: &Confirm) -> Settled {
    let begun = clock::now();
    loop {
        let heard = lane.segments_heard();
        match confirm.ask(clock::now()).await {
            Answer::Alive => return Settled::Stands,
            // Nobody accepts new connections, and this one is served.
            Answer::Gone(Cause::Unanswered) if lane.segments_heard() > heard => return Settled::Stands,
            Answer::Gone(cause) => {
                let over = clock::now().saturating_duration_since(begun) >= OWN_SIDE_LASTS;
                if over || !confirm.is_own_side(cause).await {
                    return Settled::Gone(cause);
                }
            }
        }
    }
}
