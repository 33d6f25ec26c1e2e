//! From the words of the protocol to this crate's. A word this version does not know says nothing.

use obit_protocol as wire;

use crate::{Health, Reason, Verdict};

impl From<wire::Verdict> for Verdict {
    fn from(verdict: wire::Verdict) -> Self {
        match verdict {
            wire::Verdict::Unknown => Self::Unknown,
            wire::Verdict::Alive => Self::Alive,
            wire::Verdict::Suspect => Self::Suspect,
            wire::Verdict::Dead => Self::Dead,
            wire::Verdict::Draining => Self::Draining,
        }
    }
}

impl From<wire::Reason> for Reason {
    fn from(reason: wire::Reason) -> Self {
        match reason {
            wire::Reason::Unspecified => Self::Unspecified,
            wire::Reason::Refused => Self::Refused,
            wire::Reason::Unreachable => Self::Unreachable,
            wire::Reason::SynStalled => Self::SynStalled,
            wire::Reason::SynRetransmit => Self::SynRetransmit,
            wire::Reason::Handshake => Self::Handshake,
            wire::Reason::Reset => Self::Reset,
            wire::Reason::PeerClosed => Self::PeerClosed,
            wire::Reason::Stalled => Self::Stalled,
            wire::Reason::TimedOut => Self::TimedOut,
            wire::Reason::AllClosed => Self::AllClosed,
            wire::Reason::Expired => Self::Expired,
            wire::Reason::SynTimeout => Self::SynTimeout,
            wire::Reason::ListenerClosed => Self::ListenerClosed,
            wire::Reason::NodeSuspect => Self::NodeSuspect,
            wire::Reason::Terminating => Self::Terminating,
            wire::Reason::Deleted => Self::Deleted,
        }
    }
}

/// What a notice says of its subject.
pub(super) fn health(notice: &wire::Notice) -> Health {
    // The generated accessors answer a value they do not know with the first of the enumeration: unknown, unspecified.
    Health {
        verdict: notice.verdict().into(),
        reason: notice.reason().into(),
        evidence: notice.evidence,
        kernel_ns: notice.kernel_ns,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_newer_monitor_are_no_verdict() {
        let notice = wire::Notice {
            verdict: 77,
            reason: 99,
            ..wire::Notice::default()
        };
        assert_eq!(health(&notice), Health::UNKNOWN);
    }

    #[test]
    fn every_word_of_the_protocol_has_one_here() {
        let verdicts = (0..5).map(|n| Verdict::from(wire::Verdict::try_from(n).unwrap()));
        assert_eq!(verdicts.collect::<std::collections::HashSet<_>>().len(), 5);
        let reasons = (0..17).map(|n| Reason::from(wire::Reason::try_from(n).unwrap()));
        assert_eq!(reasons.collect::<std::collections::HashSet<_>>().len(), 17);
    }
}
