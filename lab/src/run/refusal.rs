//! Why a run is not recorded, and whether another may do better.

use crate::scenario::Action;

/// Why a run is not recorded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A pod did not die, or not of its kill.
    #[error("refused: a pod outlived its death: {0}")]
    Outlived(String),
    /// A process that should have lived on ended.
    #[error("refused: {0} died, and was not meant to")]
    Died(String),
    /// The network failed in a way the scenario does not have.
    #[error("refused: the client met an error this scenario does not have: {0}")]
    Stray(String),
    /// The client made fewer calls than asked for.
    #[error("refused: {made} calls were made, {asked} were asked for")]
    FewerCalls {
        /// Calls asked for.
        asked: u64,
        /// Calls made.
        made: u64,
    },
    /// The workload ended before the script did.
    #[error(
        "refused: the workload ended {ended_ms} ms after its start, before \"{action}\" at {at_ms} ms: ask for more calls"
    )]
    Unfinished {
        /// When the workload ended.
        ended_ms: u64,
        /// What did not happen.
        action: Action,
        /// When it was planned.
        at_ms: u64,
    },
    /// A step happened too late.
    #[error("refused: \"{action}\" came {late_ms} ms late: the machine is too busy")]
    Late {
        /// What.
        action: Action,
        /// How late.
        late_ms: u64,
    },
    /// The victim died with nothing to lose.
    #[error("refused: no call was in flight when the victim died")]
    NothingInFlight,
}

impl Refusal {
    /// Whether the machine's other work may be the cause, so that the same run may do better.
    #[must_use]
    pub fn is_chance(&self) -> bool {
        matches!(self, Self::Late { .. } | Self::NothingInFlight)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_busy_machine_may_have_caused_is_tried_again_also_through_context() {
        use anyhow::Context as _;

        let late = Refusal::Late {
            action: Action::Kill,
            late_ms: 700,
        };
        let told = Err::<(), _>(late).context("obit kill").unwrap_err();
        assert!(told.downcast_ref().is_some_and(Refusal::is_chance));
        for fault in [Refusal::Died("pod-1".into()), Refusal::FewerCalls { asked: 2, made: 1 }] {
            assert!(!fault.is_chance());
        }
    }
}
