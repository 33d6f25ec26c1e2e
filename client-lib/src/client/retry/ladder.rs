//! The ladder: from what is known of a failed attempt to whether the call may go elsewhere. Pure.

use super::Fate;

/// How often a call that was certainly never processed goes elsewhere before it is given up: a bound against endless
/// circling, far above what one rolling restart costs a call.
const MAX_UNPAID: u32 = 32;

/// How often a call of unknown fate is repeated at most. A request that kills its server would otherwise walk through
/// all of them.
const MAX_REPEATS: u32 = 3;

/// What is known of a call whose attempt just failed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attempted {
    /// Sending it twice does no harm: by its method, its extension or the caller's classifier.
    pub(crate) idempotent: bool,
    /// The whole body is still at hand.
    pub(crate) replayable: bool,
    /// How often it was moved for free before.
    pub(crate) unpaid: u32,
    /// How often a peer that stays said before that it did not process it.
    pub(crate) unprocessed: u32,
    /// How often it was repeated within the budget before.
    pub(crate) repeats: u32,
}

/// The ladder's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Again {
    /// Elsewhere, outside the budget.
    Free,
    /// Elsewhere, if the budget has a token.
    IfBudget,
    /// The caller hears of the failure.
    Never,
}

/// Decides; `fate` is what became of the last attempt.
pub(crate) fn again(fate: Fate, call: Attempted) -> Again {
    if !call.replayable || call.unpaid + call.repeats >= MAX_UNPAID {
        return Again::Never;
    }
    match fate {
        // A peer that goes is not overloaded, and goes but once: however many go, none gets a call twice on one connection.
        Fate::NotSent | Fate::SentAway => Again::Free,
        // Safe for every call. The first time is free; a peer that refuses over and over is overloaded, and then the
        // budget keeps us from making it worse.
        Fate::Unprocessed if call.unprocessed == 0 => Again::Free,
        Fate::Unprocessed => Again::IfBudget,
        // The peer lives, and this side's network was at fault: every connection of a client is lost once.
        Fate::Stranded if call.idempotent => Again::Free,
        Fate::Unknown if call.idempotent && call.repeats < MAX_REPEATS => Again::IfBudget,
        Fate::Stranded | Fate::Unknown => Again::Never,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn calls() -> impl Strategy<Value = Attempted> {
        (any::<bool>(), any::<bool>(), 0_u32..40, 0_u32..4, 0_u32..6).prop_map(
            |(idempotent, replayable, unpaid, unprocessed, repeats)| Attempted {
                idempotent,
                replayable,
                unpaid,
                unprocessed,
                repeats,
            },
        )
    }

    proptest! {
        #[test]
        fn a_call_that_may_not_be_repeated_is_not_when_its_fate_is_unknown(mut call in calls()) {
            call.idempotent = false;
            prop_assert_eq!(again(Fate::Unknown, call), Again::Never);
            prop_assert_eq!(again(Fate::Stranded, call), Again::Never);
        }

        #[test]
        fn what_was_never_sent_or_was_sent_away_never_touches_the_budget(call in calls()) {
            prop_assert_ne!(again(Fate::NotSent, call), Again::IfBudget);
            prop_assert_ne!(again(Fate::SentAway, call), Again::IfBudget);
        }

        #[test]
        fn a_body_that_is_gone_is_never_sent_again(mut call in calls()) {
            call.replayable = false;
            for fate in [Fate::NotSent, Fate::SentAway, Fate::Unprocessed, Fate::Stranded, Fate::Unknown] {
                prop_assert_eq!(again(fate, call), Again::Never);
            }
        }

        #[test]
        fn every_call_comes_to_an_end(idempotent: bool, fates in proptest::collection::vec(0..5_u8, 100)) {
            let mut call = Attempted { idempotent, replayable: true, unpaid: 0, unprocessed: 0, repeats: 0 };
            let mut ended = false;
            for fate in fates {
                let fate = [Fate::NotSent, Fate::SentAway, Fate::Unprocessed, Fate::Stranded, Fate::Unknown][usize::from(fate)];
                match again(fate, call) {
                    Again::Free => call.unpaid += 1,
                    Again::IfBudget => call.repeats += 1,
                    Again::Never => { ended = true; break; }
                }
                call.unprocessed += u32::from(fate == Fate::Unprocessed);
            }
            prop_assert!(ended);
        }
    }

    #[test]
    fn the_first_refusal_is_free_and_the_second_is_paid() {
        let mut call = Attempted {
            idempotent: false,
            replayable: true,
            unpaid: 0,
            unprocessed: 0,
            repeats: 0,
        };
        assert_eq!(again(Fate::Unprocessed, call), Again::Free);
        call.unprocessed = 1;
        assert_eq!(again(Fate::Unprocessed, call), Again::IfBudget);
    }
}
