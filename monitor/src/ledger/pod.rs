//! What Kubernetes says of who has an address and port. The ledger keeps this for each watched peer that is, or lately was,
//! an endpoint.
//!
//! What is *not* said of a pod is that it is well: that is for the kernel to say. A pod that was ending and is not listed
//! any more is deleted, and its processes are gone. One that was not ending may have been relabelled, or its service deleted: that
//! says nothing of the pod.

use obit_protocol::{Reason, Verdict};

use super::Standing;
use super::evidence::LIFETIME;
use crate::endpoint::{Listed, PodUid};
use crate::sighting::MonotonicNs;

#[derive(Debug, Default)]
pub(super) struct Pod {
    known: Option<Known>,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    uid: PodUid,
    state: State,
    since: MonotonicNs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Listed,
    Terminating,
    /// Not listed any more, without having been told to end.
    Removed,
    /// Not listed any more, after it was told to end.
    Deleted,
}

impl Pod {
    /// What is said now. Returns whether another pod is known to have had the address before: what was held against that
    /// one is void.
    pub(super) fn hear(&mut self, listed: Option<Listed>, now: MonotonicNs) -> bool {
        let before = self.known;
        self.known = match (before, listed) {
            (None, None) => None,
            (Some(known), None) => Some(known.left(now)),
            (known, Some(listed)) => Some(Known::listed(known, listed, now)),
        };
        listed
            .zip(before)
            .is_some_and(|(listed, before)| listed.uid != before.uid)
    }

    /// A dial was answered: somebody lives there, whoever it is.
    pub(super) fn answered(&mut self, at: MonotonicNs) {
        let voided = |known: &Known| known.state == State::Deleted && known.since <= at;
        self.known = self.known.filter(|known| !voided(known));
    }

    pub(super) fn standing(&self, now: MonotonicNs) -> Option<Standing> {
        let known = self.known.filter(|known| known.holds(now))?;
        let (verdict, reason) = match known.state {
            State::Listed | State::Removed => return None,
            State::Terminating => (Verdict::Draining, Reason::Terminating),
            State::Deleted => (Verdict::Dead, Reason::Deleted),
        };
        Some(Standing {
            verdict,
            reason,
            evidence: 1,
            at: known.since,
        })
    }

    pub(super) fn sweep(&mut self, now: MonotonicNs) {
        self.known = self.known.filter(|known| known.holds(now));
    }

    pub(super) fn expires(&self) -> Option<MonotonicNs> {
        self.known.and_then(|known| known.expires())
    }

    /// Whether nothing is known.
    pub(super) fn is_empty(&self) -> bool {
        self.known.is_none()
    }
}

impl Known {
    fn listed(before: Option<Self>, listed: Listed, now: MonotonicNs) -> Self {
        let state = if listed.terminating {
            State::Terminating
        } else {
            State::Listed
        };
        let unchanged = |known: &Self| known.uid == listed.uid && known.state == state;
        before.filter(unchanged).unwrap_or(Self {
            uid: listed.uid,
            state,
            since: now,
        })
    }

    fn left(self, now: MonotonicNs) -> Self {
        let state = match self.state {
            State::Listed => State::Removed,
            State::Terminating => State::Deleted,
            State::Removed | State::Deleted => return self,
        };
        Self {
            state,
            since: now,
            ..self
        }
    }

    /// What is listed counts until something else is said; what is not, as long as any evidence.
    fn expires(self) -> Option<MonotonicNs> {
        match self.state {
            State::Listed | State::Terminating => None,
            State::Removed | State::Deleted => Some(self.since + LIFETIME),
        }
    }

    fn holds(self, now: MonotonicNs) -> bool {
        self.expires().is_none_or(|at| now < at)
    }
}
