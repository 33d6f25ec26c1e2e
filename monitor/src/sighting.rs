//! A sighting: one observation of one socket, the first step of the path. Made from kernel records and from the stall
//! timer, consumed by the ledger.

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A point in `CLOCK_MONOTONIC` time, nanoseconds: the clock of every kernel record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct MonotonicNs(pub u64);

impl MonotonicNs {
    /// The time that has passed since `earlier`; zero if `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// The time between two points, whichever is later.
    #[must_use]
    pub fn distance(self, other: Self) -> Duration {
        Duration::from_nanos(self.0.abs_diff(other.0))
    }
}

impl std::ops::Sub<Duration> for MonotonicNs {
    type Output = Self;

    fn sub(self, earlier: Duration) -> Self {
        Self(
            self.0
                .saturating_sub(u64::try_from(earlier.as_nanos()).unwrap_or(u64::MAX)),
        )
    }
}

impl std::ops::Add<Duration> for MonotonicNs {
    type Output = Self;

    fn add(self, later: Duration) -> Self {
        Self(
            self.0
                .saturating_add(u64::try_from(later.as_nanos()).unwrap_or(u64::MAX)),
        )
    }
}

/// A time to act at, if nothing happens before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadline {
    /// When.
    pub at: MonotonicNs,
    /// Whether microseconds matter.
    pub sharp: bool,
}

/// The cookie of a network namespace: where an observation was made. Unlike an inode number never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NetnsCookie(pub u64);

impl NetnsCookie {
    /// Stands for no namespace in particular: the kernel gave no cookie.
    pub const UNKNOWN: Self = Self(0);

    /// Whether the kernel named the namespace. An unknown one is nobody's own and agrees with nobody.
    #[must_use]
    pub fn is_known(self) -> bool {
        self != Self::UNKNOWN
    }
}

/// `SO_COOKIE` of a socket: unique since boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SocketCookie(pub u64);

/// One observation of one socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sighting {
    /// When the kernel saw it; for a stall, when its threshold ran out.
    pub at: MonotonicNs,
    /// The network namespace that saw it.
    pub netns: NetnsCookie,
    /// Whether a user namespace other than the machine's first one owns that namespace. Whoever made it gives it whatever addresses he
    /// likes: what was seen there says something to those in it, and nothing to anybody else.
    pub in_user_ns: bool,
    /// The socket it was seen on.
    pub socket: SocketCookie,
    /// The remote end, normalised (no IPv4-mapped addresses).
    pub peer: SocketAddr,
    /// What was seen.
    pub what: Observation,
}

/// What was seen of a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Observation {
    /// A dial was refused: nobody listens on that address and port.
    Refused,
    /// A dial found no way to the address.
    Unreachable,
    /// A dial began; starts the stall timer and says nothing by itself.
    SynStart,
    /// A dial was not answered within the stall threshold.
    SynStalled {
        /// How long the SYN had waited when the threshold ran out: it left at `at - waited`.
        waited: Duration,
    },
    /// The kernel sent a SYN again.
    SynRetransmit,
    /// The peer answered a dial.
    Handshake {
        /// The round-trip time of the handshake.
        rtt: Duration,
    },
    /// An established connection was reset by the peer.
    Reset,
    /// The peer closed an established connection (FIN).
    PeerClosed,
    /// An established connection was retransmitted twice without progress.
    Stalled,
    /// The kernel gave up on an established connection.
    TimedOut,
    /// The kernel gave up on a dial that nobody answered.
    SynTimeout,
    /// The application gave up on a dial after it had stalled, or its SYN had been sent again.
    Abandoned,
    /// A segment of an established connection was sent again, and an ICMP error said that there is no way.
    SoftError,
    /// The last listener on a port of a namespace of this node is gone. `peer` is its own address: unspecified, until the
    /// addresses of its namespace are put in its place.
    ListenerClosed,
    /// A listener on a port of a namespace of this node begins. `peer` as above.
    ListenerOpened,
    /// The address of `peer` is one of the namespace, which is one of this node's.
    Home,
    /// The socket ended in a way that is no evidence against the peer.
    Ended,
}

impl Observation {
    /// The names of all kinds, in the order of [`kind`](Self::kind).
    pub const KINDS: [&str; 17] = [
        "refused",
        "unreachable",
        "syn",
        "syn-stalled",
        "syn-retransmit",
        "handshake",
        "reset",
        "peer-closed",
        "stalled",
        "timed-out",
        "syn-timeout",
        "abandoned",
        "soft-error",
        "listener-closed",
        "listener-opened",
        "home",
        "ended",
    ];

    /// Which kind it is: its place in [`KINDS`](Self::KINDS).
    #[must_use]
    pub fn kind(&self) -> usize {
        match self {
            Self::Refused => 0,
            Self::Unreachable => 1,
            Self::SynStart => 2,
            Self::SynStalled { .. } => 3,
            Self::SynRetransmit => 4,
            Self::Handshake { .. } => 5,
            Self::Reset => 6,
            Self::PeerClosed => 7,
            Self::Stalled => 8,
            Self::TimedOut => 9,
            Self::SynTimeout => 10,
            Self::Abandoned => 11,
            Self::SoftError => 12,
            Self::ListenerClosed => 13,
            Self::ListenerOpened => 14,
            Self::Home => 15,
            Self::Ended => 16,
        }
    }
}

#[cfg(test)]
pub(crate) mod strategy {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::Observation;

    /// Any observation; a stalled dial waited for `waited`, a handshake took `rtt`.
    pub(crate) fn any_observation(
        waited: impl Strategy<Value = Duration> + 'static,
        rtt: impl Strategy<Value = Duration> + 'static,
    ) -> impl Strategy<Value = Observation> {
        prop_oneof![
            Just(Observation::Refused),
            Just(Observation::Unreachable),
            Just(Observation::SynStart),
            waited.prop_map(|waited| Observation::SynStalled { waited }),
            Just(Observation::SynRetransmit),
            rtt.prop_map(|rtt| Observation::Handshake { rtt }),
            Just(Observation::Reset),
            Just(Observation::PeerClosed),
            Just(Observation::Stalled),
            Just(Observation::TimedOut),
            Just(Observation::SynTimeout),
            Just(Observation::Abandoned),
            Just(Observation::SoftError),
            Just(Observation::ListenerClosed),
            Just(Observation::ListenerOpened),
            Just(Observation::Home),
            Just(Observation::Ended),
        ]
    }
}
