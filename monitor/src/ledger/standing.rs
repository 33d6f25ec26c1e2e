//! A standing: what a peer, or one connection to it, is held to be and why. The ledger's answer, the registry's news.

use std::net::SocketAddr;

use obit_protocol::{Reason, Verdict};

use crate::sighting::{MonotonicNs, NetnsCookie, SocketCookie};

/// A verdict and what stands behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// The verdict.
    pub verdict: Verdict,
    /// The kind of observation that decided.
    pub reason: Reason,
    /// How many observations of that kind there were.
    pub evidence: u32,
    /// When the observation that decided was made.
    pub at: MonotonicNs,
}

impl Standing {
    /// Nothing is known.
    pub const UNKNOWN: Self = Self {
        verdict: Verdict::Unknown,
        reason: Reason::Unspecified,
        evidence: 0,
        at: MonotonicNs(0),
    };

    /// What was known has expired at `at`.
    #[must_use]
    pub const fn expired(at: MonotonicNs) -> Self {
        Self {
            reason: Reason::Expired,
            at,
            ..Self::UNKNOWN
        }
    }

    /// Whether a subscriber that knows `self` learns nothing from `other`.
    #[must_use]
    pub fn says_the_same_as(&self, other: &Self) -> bool {
        self.verdict == other.verdict && (self.reason == other.reason || self.verdict == Verdict::Unknown)
    }

    /// The graver of two standings; of equally grave ones, that which was decided first.
    #[must_use]
    pub(super) fn or_graver(self, other: Option<Self>) -> Self {
        match other {
            Some(other) if (gravity(other.verdict), self.at) > (gravity(self.verdict), other.at) => other,
            _ => self,
        }
    }
}

fn gravity(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Unknown => 0,
        Verdict::Alive => 1,
        Verdict::Suspect => 2,
        Verdict::Draining => 3,
        Verdict::Dead => 4,
    }
}

/// News of one connection, for subscribers in its own network namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionNews {
    /// The remote end.
    pub peer: SocketAddr,
    /// The connection.
    pub socket: SocketCookie,
    /// Where it lives.
    pub netns: NetnsCookie,
    /// What it is held to be.
    pub standing: Standing,
}
