//! What the pool tells about its endpoints: the state of each, and every change of it.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::Instant;

use crate::health::{Health, Reason};

/// The state of an endpoint.
///
/// ```text
///            ┌────────────────────────────────────────────────┐ GOAWAY, clean end
///            ▼                                                │
/// idle ─▶ connecting ──greeting──▶ ready ⇄ suspect         draining ◀─ verdict
///            │                       │        │ own dial      ▲ │
///            │ refused, unreachable, │ dead   │ failed        └─┤
///            │ unanswered            ▼        ▼                 ▼
///            └────────────────────▶ evicted ◀───────────────────┘
///                                    ▲    │ back-off, Alive, or nobody else left
///                          failed    │    ▼
///                                   probation ──greeting──▶ ready
/// ```
///
/// A ready endpoint is shown as ejected while its answers keep it out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Phase {
    /// Known, not yet dialled, or no longer connected because nobody calls.
    Idle,
    /// The first dial, or a new one after an orderly goodbye.
    Connecting,
    /// In rotation.
    Ready,
    /// Out of rotation, and being asked. Its calls in flight go on.
    Suspect,
    /// Out of rotation by a verdict that it is going away. Its calls in flight go on.
    Draining,
    /// Out of rotation though connected, by its answers: they are worse than the others', or it says that it is not well.
    Ejected,
    /// Out, until the next probe.
    Evicted,
    /// Out, with dials on their way to find out.
    Probation,
    /// No longer named by the resolver.
    Removed,
}

impl Phase {
    /// In one word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Connecting => "connecting",
            Self::Ready => "ready",
            Self::Suspect => "suspect",
            Self::Draining => "draining",
            Self::Ejected => "ejected",
            Self::Evicted => "evicted",
            Self::Probation => "probation",
            Self::Removed => "removed",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What moved an endpoint from one phase to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// The resolver named it.
    Resolved,
    /// The resolver no longer names it.
    Removed,
    /// A dial begins: the back-off is over, it was said to be alive, or nobody else is left.
    Dial,
    /// The handshake completed and, for a connection, the peer's greeting came (HTTP/2's SETTINGS, TLS).
    Answered,
    /// The monitor's verdict.
    Verdict(Health),
    /// A death told while it was being dialled.
    Dead(Reason),
    /// The dial was refused.
    Refused,
    /// The dial found no way.
    Unreachable,
    /// The dial got no answer within the learnt bound, or none at all.
    Unanswered,
    /// The address accepted the connection and then did not greet in time (TLS, HTTP/2).
    Mute,
    /// This client heard nothing on its connection, nor on fresh dials.
    Silence,
    /// This client heard nothing on its connection for half a second, and the peer answered a fresh dial: the path was gone for a
    /// while, or forgot the connection.
    Stranded,
    /// The connection ended, or announced its end.
    Closed,
    /// The connection was replaced by a new one because of its age.
    Aged,
    /// Nobody called the client for its idle timeout.
    Unused,
    /// Its answers were failures, or failures more often than the others'.
    Outlier,
    /// It failed its health check.
    Unwell,
    /// It passed its health check again, or the time of its ejection is over.
    Readmitted,
    /// TLS failed: a certificate that is not trusted or of another name, or no protocol in common.
    Tls,
    /// Another error of a dial.
    Io(io::ErrorKind),
}

impl Cause {
    /// When the kernel saw it (`CLOCK_MONOTONIC`), for a verdict of the monitor.
    #[must_use]
    pub fn kernel_ns(&self) -> Option<u64> {
        match self {
            Self::Verdict(health) if health.kernel_ns != 0 => Some(health.kernel_ns),
            _ => None,
        }
    }

    /// In one word, without details.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Resolved => "resolved",
            Self::Removed => "removed",
            Self::Dial => "dial",
            Self::Answered => "answered",
            Self::Verdict(_) => "verdict",
            Self::Dead(_) => "dead",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::Unanswered => "unanswered",
            Self::Mute => "mute",
            Self::Silence => "silence",
            Self::Stranded => "stranded",
            Self::Closed => "closed",
            Self::Aged => "aged",
            Self::Unused => "unused",
            Self::Outlier => "outlier",
            Self::Unwell => "unwell",
            Self::Readmitted => "readmitted",
            Self::Tls => "tls",
            Self::Io(_) => "io",
        }
    }

    /// The same in the words of a verdict.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::Verdict(health) => health.reason,
            Self::Dead(reason) => *reason,
            Self::Refused => Reason::Refused,
            Self::Unreachable => Reason::Unreachable,
            Self::Unanswered | Self::Mute => Reason::SynStalled,
            Self::Silence | Self::Stranded => Reason::Silence,
            Self::Closed => Reason::PeerClosed,
            Self::Answered | Self::Aged | Self::Readmitted => Reason::Handshake,
            Self::Removed => Reason::Removed,
            Self::Resolved | Self::Dial | Self::Tls | Self::Outlier | Self::Unwell | Self::Unused | Self::Io(_) => {
                Reason::Unspecified
            }
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resolved => f.write_str("named by the resolver"),
            Self::Removed => f.write_str("no longer named by the resolver"),
            Self::Dial => f.write_str("dialled"),
            Self::Answered => f.write_str("answered"),
            Self::Verdict(health) => write!(f, "{}: {}", health.verdict, health.reason),
            Self::Dead(reason) => write!(f, "dead: {reason}"),
            Self::Refused => f.write_str("connection refused"),
            Self::Unreachable => f.write_str("no route to host"),
            Self::Unanswered => f.write_str("dial not answered in time"),
            Self::Mute => f.write_str("connected but did not greet in time"),
            Self::Silence => f.write_str("silence, and fresh dials were not answered"),
            Self::Stranded => f.write_str("silent connection to a peer that answers a fresh dial"),
            Self::Closed => f.write_str("connection closed"),
            Self::Aged => f.write_str("connection replaced for its age"),
            Self::Unused => f.write_str("nobody called"),
            Self::Outlier => f.write_str("too many of its answers were failures"),
            Self::Unwell => f.write_str("failed its health check"),
            Self::Readmitted => f.write_str("back after an ejection"),
            Self::Tls => f.write_str("TLS failed"),
            Self::Io(kind) => write!(f, "dial failed: {kind}"),
        }
    }
}

/// One change of an endpoint's phase, from [`Client::events`](crate::Client::events).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct EndpointEvent {
    /// The endpoint.
    pub peer: SocketAddr,
    /// The phase it left.
    pub from: Phase,
    /// The phase it is in now. When the event is seen, calls already go by it; with hundreds of endpoints that change all at once
    /// a moment later.
    pub to: Phase,
    /// Why.
    pub cause: Cause,
    /// When.
    pub at: Instant,
}

/// One endpoint, from [`Client::snapshot`](crate::Client::snapshot).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct EndpointStatus {
    /// The endpoint.
    pub peer: SocketAddr,
    /// Its phase.
    pub phase: Phase,
    /// What brought it there.
    pub cause: Cause,
    /// Since when.
    pub since: Instant,
    /// How many connections it has.
    pub connections: usize,
    /// Calls in flight on them.
    pub in_flight: usize,
    /// The round trip of the newest handshake, as the kernel measured it.
    pub rtt: Option<Duration>,
    /// What last spoke against it, and when: a suspicion, an eviction, an ejection, that it is going away.
    pub last_evidence: Option<(Cause, Instant)>,
    /// What was left of the connect timeout whenever evidence ended a dial to it. Of calls that were in flight when it died
    /// nobody knows how long they would have waited: they are not in it.
    pub time_saved: Duration,
}
