//! Health: what the feed knows of a peer, between the monitor's notices and the pool that reads it on every request.

use std::fmt;

/// What is thought of a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Verdict {
    /// Nothing is known: no evidence yet, evidence expired, or there is no monitor. Not the same as alive, and never a
    /// reason to avoid a peer.
    #[default]
    Unknown,
    /// It answered lately.
    Alive,
    /// Take it out of rotation and ask it yourself. Nothing in flight fails for a suspicion.
    Suspect,
    /// What is in flight to it will not be answered.
    Dead,
    /// It is going away in good order: no new work, let what is in flight end.
    Draining,
}

impl Verdict {
    /// Whether new work may go to such a peer without asking it first.
    #[must_use]
    pub fn takes_work(self) -> bool {
        matches!(self, Self::Unknown | Self::Alive)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "unknown",
            Self::Alive => "alive",
            Self::Suspect => "suspect",
            Self::Dead => "dead",
            Self::Draining => "draining",
        })
    }
}

/// Why a verdict was reached: the observation that decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Reason {
    /// No reason was given, or one this version does not know.
    #[default]
    Unspecified,
    /// A dial was refused: nobody listens on that address and port.
    Refused,
    /// There is no way to the address.
    Unreachable,
    /// A SYN was not answered within the threshold learnt for that network.
    SynStalled,
    /// The kernel had to send a SYN again.
    SynRetransmit,
    /// The kernel gave up on a dial that nobody answered.
    SynTimeout,
    /// The server, on the same node, listens no more.
    ListenerClosed,
    /// Most peers fell silent at once, so that the fault is most likely on this side: silence does not count.
    NodeSuspect,
    /// A handshake completed: a sign of life.
    Handshake,
    /// The peer reset an established connection.
    Reset,
    /// The peer closed a connection (FIN).
    PeerClosed,
    /// An established connection was retransmitted twice without progress.
    Stalled,
    /// The kernel gave up on an established connection.
    TimedOut,
    /// Every connection to the peer ended within 100 ms.
    AllClosed,
    /// The evidence grew too old.
    Expired,
    /// The endpoint was taken out of its service.
    Removed,
    /// Kubernetes told the pod to end.
    Terminating,
    /// The pod, which Kubernetes had told to end, is no more.
    Deleted,
    /// This client's own socket heard nothing, not even an acknowledgement, and fresh dials were not answered either.
    Silence,
}

impl Reason {
    /// Whether this is said of the whole address and not of one port: a dial to it will hear nothing, whatever the port.
    #[must_use]
    pub fn is_address_wide(self) -> bool {
        matches!(
            self,
            Self::Unreachable
                | Self::SynStalled
                | Self::SynRetransmit
                | Self::SynTimeout
                | Self::Stalled
                | Self::Silence
        )
    }

    /// Whether it says that something was not answered. A connection to the peer that hears it knows better: a full accept queue
    /// drops SYNs, and those who are connected are served.
    pub(crate) fn is_silence(self) -> bool {
        self.is_address_wide() && self != Self::Unreachable
    }

    /// Whether an established connection hears of this by itself: its owner reads what had arrived, then an error or end
    /// of file.
    ///
    /// A refused dial is of this kind, and so is a listener that closed. They say that nobody listens any more, and a
    /// server that drains has closed its listener too and goes on answering what it took. If its process is gone, its kernel
    /// has ended every connection of it.
    pub(crate) fn is_told_by_the_socket(self) -> bool {
        matches!(
            self,
            Self::Refused | Self::ListenerClosed | Self::Reset | Self::PeerClosed | Self::TimedOut | Self::AllClosed
        )
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unspecified => "no reason given",
            Self::Refused => "connection refused",
            Self::Unreachable => "no route to host",
            Self::SynStalled => "SYN not answered in time",
            Self::SynRetransmit => "SYN retransmitted",
            Self::SynTimeout => "SYN never answered",
            Self::ListenerClosed => "listener closed",
            Self::NodeSuspect => "node itself suspected",
            Self::Handshake => "handshake completed",
            Self::Reset => "connection reset by peer",
            Self::PeerClosed => "connection closed by peer",
            Self::Stalled => "retransmissions not acknowledged",
            Self::TimedOut => "connection timed out",
            Self::AllClosed => "all connections closed",
            Self::Expired => "evidence expired",
            Self::Removed => "endpoint removed",
            Self::Terminating => "told to end",
            Self::Deleted => "pod deleted",
            Self::Silence => "silence",
        })
    }
}

/// The newest verdict about a peer, as a value: cheap to copy, read without locks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Health {
    /// What is thought of it.
    pub verdict: Verdict,
    /// The observation that decided.
    pub reason: Reason,
    /// How many observations stand behind the verdict.
    pub evidence: u32,
    /// `CLOCK_MONOTONIC` nanoseconds when the kernel made the observation; 0 while nothing is known.
    pub kernel_ns: u64,
}

impl Health {
    /// Nothing is known.
    pub const UNKNOWN: Self = Self {
        verdict: Verdict::Unknown,
        reason: Reason::Unspecified,
        evidence: 0,
        kernel_ns: 0,
    };

    /// Whether this is a death the kernel saw after `birth_ns` (`CLOCK_MONOTONIC`). An older one says nothing of what was
    /// born since: pods reuse addresses.
    #[must_use]
    pub fn is_death_since(&self, birth_ns: u64) -> bool {
        self.verdict == Verdict::Dead && self.kernel_ns > birth_ns
    }
}
