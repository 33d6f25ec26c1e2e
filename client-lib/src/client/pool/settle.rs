//! How a suspicion of an endpoint whose connection stands is settled, and when it is not the endpoint's fault.

use std::time::Duration;

use super::confirm::{Answer, Confirm};
use super::ending::{Ended, Silent, over};
use super::lane::Lane;
use super::roster::Roster;
use crate::client::event::Cause;
use crate::clock;
use crate::connection::DIAL_AFTER;

/// Fewer endpoints are no sign of this side's own trouble; as the monitor has it.
const SILENT_MIN: usize = 3;

/// How long nobody is taken for dead although nobody is heard. Then it may be them after all; as the monitor has it.
pub(super) const OWN_SIDE_LASTS: Duration = Duration::from_secs(10);

/// What came of a suspicion.
pub(super) enum Settled {
    /// It lives, or nothing can be known of it now.
    Stands,
    /// It does not answer, and why.
    Gone(Cause),
    /// The connection came to its end meanwhile.
    Ended(Ended),
}

/// Asks the endpoint, while `silent` goes on. Cancel safe.
pub(super) async fn settle(lane: &Lane, silent: &mut Silent, confirm: &Confirm) -> Settled {
    let begun = clock::now();
    loop {
        let heard = lane.segments_heard();
        let answer = tokio::select! {
            biased;
            ended = over(lane, silent) => return Settled::Ended(ended),
            answer = Box::pin(confirm.ask(clock::now())) => answer,
        };
        match answer {
            Answer::Alive => return Settled::Stands,
            // Nobody accepts new connections, and this one is served.
            Answer::Gone(Cause::Unanswered) if lane.segments_heard() > heard => return Settled::Stands,
            Answer::Gone(cause)
                if confirm.is_own_side(cause) && clock::now().saturating_duration_since(begun) < OWN_SIDE_LASTS => {}
            Answer::Gone(cause) => return Settled::Gone(cause),
        }
    }
}

/// Whether nobody is heard, most owe an acknowledgement and the others an answer, and they are many: then the fault is most likely
/// on this side. One that is heard acquits it, however many are not; and so does one that owes nothing, because it may well live.
pub(super) fn is_nobody_heard(roster: &Roster) -> bool {
    let (mut silent, mut all) = (0, 0);
    for lanes in roster.lanes_by_endpoint() {
        let (mut acknowledgement, mut answer) = (false, false);
        for lane in lanes {
            let Some(sample) = lane.connection().probe().sample() else {
                continue;
            };
            if sample.last_ack_recv.min(sample.last_data_recv) < DIAL_AFTER {
                return false;
            }
            acknowledgement |= sample.silence().is_some();
            answer |= lane.in_flight() > 0;
        }
        if !acknowledgement && !answer {
            return false;
        }
        silent += usize::from(acknowledgement);
        all += 1;
    }
    silent >= SILENT_MIN && silent * 2 > all
}
