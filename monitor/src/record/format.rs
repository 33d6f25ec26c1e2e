//! What a recording is made of: a header, then entries, one a line. Pure.
//!
//! A line is the CRC-32 of a JSON object in eight hexadecimal digits, a space, the object, and a line feed. Within the
//! object there is no line feed, so what is damaged is one line, and is known to be. Times are nanoseconds since the
//! recording's start: short, readable, and small enough for the tools that take every number for a double. A new kind of
//! observation is one line in `What`.

use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::endpoint::Listed;
use crate::sighting::{MonotonicNs, NetnsCookie, Observation, Sighting, SocketCookie};
use crate::stall::Bounds;

/// The version of the format. It changes when a recording can no longer be read by what could read it before; a new kind
/// of entry or observation alone changes nothing, for it is named where it is not known.
pub const FORMAT: u32 = 1;

/// The first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Says what this file is.
    pub obit: Magic,
    /// [`FORMAT`] of the obit that wrote it.
    pub format: u32,
    /// The version of that obit.
    pub version: String,
    /// The node's name.
    pub node: String,
    /// Its kernel's release.
    pub kernel: String,
    /// The start, `CLOCK_MONOTONIC`.
    pub start_ns: u64,
    /// The start by the wall clock, milliseconds since 1970.
    pub start_unix_ms: u64,
    /// What the stall timer was set to.
    pub stall: Stall,
    /// The signals that were on.
    pub signals: Vec<String>,
    /// The only namespace looked at; without it all of the node's were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub netns: Option<NetnsCookie>,
    /// The ranges of virtual addresses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub virtual_addresses: Vec<IpNet>,
}

impl Header {
    /// The start, as the daemon's clock tells it.
    #[must_use]
    pub fn start(&self) -> MonotonicNs {
        MonotonicNs(self.start_ns)
    }
}

/// The word by which a recording is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Magic {
    /// It is one.
    #[serde(rename = "recording")]
    Recording,
}

/// [`Bounds`], as they are written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stall {
    /// [`Bounds::floor`].
    #[serde(rename = "floor_ns", with = "nanoseconds")]
    pub floor: Duration,
    /// [`Bounds::ceiling`].
    #[serde(rename = "ceiling_ns", with = "nanoseconds")]
    pub ceiling: Duration,
    /// [`Bounds::cold`].
    #[serde(rename = "cold_ns", with = "nanoseconds")]
    pub cold: Duration,
}

impl From<Bounds> for Stall {
    fn from(bounds: Bounds) -> Self {
        Self {
            floor: bounds.floor,
            ceiling: bounds.ceiling,
            cold: bounds.cold,
        }
    }
}

/// A point in time, by its distance from the recording's start. Exact for any two points of the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Offset(pub i64);

impl Offset {
    /// The distance of `at` from `start`.
    #[must_use]
    pub fn of(at: MonotonicNs, start: MonotonicNs) -> Self {
        Self(at.0.wrapping_sub(start.0).cast_signed())
    }

    /// The point this far from `start`.
    #[must_use]
    pub fn from(self, start: MonotonicNs) -> MonotonicNs {
        MonotonicNs(start.0.wrapping_add_signed(self.0))
    }
}

/// One line after the header: one call of the hub, or how the recording went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Entry {
    /// A subscriber asked about peers.
    Watch {
        /// When.
        now: Offset,
        /// Who: a number not used again in this recording.
        subscriber: u64,
        /// Where it lives; `None` if the kernel did not say.
        netns: Option<NetnsCookie>,
        /// About whom.
        peers: Vec<SocketAddr>,
    },
    /// A subscriber does not care about peers any more, or is gone.
    Unwatch {
        /// When the last thing before it happened: nothing depends on the moment itself.
        now: Offset,
        /// Who.
        subscriber: u64,
        /// About whom.
        peers: Vec<SocketAddr>,
    },
    /// Sightings, taken in together before anybody was told.
    Saw {
        /// When the hub took them in.
        now: Offset,
        /// What was seen, in order.
        sightings: Vec<Saw>,
    },
    /// Kubernetes said something of peers.
    Heard {
        /// When the hub took it in.
        now: Offset,
        /// Of whom, and what; `None`: that it is nobody's endpoint.
        peers: Vec<(SocketAddr, Option<Listed>)>,
    },
    /// Evidence expired.
    Expire {
        /// When the hub looked.
        now: Offset,
    },
    /// The kernel half lost sightings.
    Lost {
        /// When it was noticed.
        now: Offset,
        /// How many were lost by then since the start.
        total: u64,
    },
    /// The canary was not heard any more, or was again.
    Hearing {
        /// When that was noticed.
        now: Offset,
        /// Since when it was not; `None` if it was again.
        deaf_since: Option<Offset>,
    },
    /// The recorder could not keep up: entries are missing here.
    Missing {
        /// When it could write again.
        now: Offset,
        /// How many are missing.
        entries: u64,
    },
    /// The recording ended as it should.
    End {
        /// When.
        now: Offset,
        /// Why.
        why: Why,
    },
}

impl Entry {
    /// The time it bears.
    #[must_use]
    pub fn now(&self) -> Offset {
        match self {
            Self::Watch { now, .. }
            | Self::Unwatch { now, .. }
            | Self::Saw { now, .. }
            | Self::Heard { now, .. }
            | Self::Expire { now }
            | Self::Lost { now, .. }
            | Self::Hearing { now, .. }
            | Self::Missing { now, .. }
            | Self::End { now, .. } => *now,
        }
    }
}

/// Why a recording ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// It was told to.
    Stopped,
    /// What it recorded could not go on.
    Failed,
    /// The file was as large as it might be.
    MaxBytes,
}

/// A [`Sighting`], as it is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Saw {
    /// [`Sighting::at`].
    pub at: Offset,
    /// [`Sighting::netns`].
    pub netns: NetnsCookie,
    /// [`Sighting::in_user_ns`].
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub in_user_ns: bool,
    /// [`Sighting::socket`].
    pub socket: SocketCookie,
    /// [`Sighting::peer`].
    pub peer: SocketAddr,
    /// [`Sighting::what`].
    #[serde(with = "What")]
    pub what: Observation,
}

impl Saw {
    /// A sighting, in a recording that began at `start`.
    #[must_use]
    pub fn of(sighting: &Sighting, start: MonotonicNs) -> Self {
        Self {
            at: Offset::of(sighting.at, start),
            netns: sighting.netns,
            in_user_ns: sighting.in_user_ns,
            socket: sighting.socket,
            peer: sighting.peer,
            what: sighting.what,
        }
    }

    /// The sighting, in a recording that began at `start`.
    #[must_use]
    pub fn sighting(&self, start: MonotonicNs) -> Sighting {
        Sighting {
            at: self.at.from(start),
            netns: self.netns,
            in_user_ns: self.in_user_ns,
            socket: self.socket,
            peer: self.peer,
            what: self.what,
        }
    }
}

/// The kinds of [`Observation`] by name. One that is missing here does not compile.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Observation", rename_all = "kebab-case", deny_unknown_fields)]
enum What {
    Refused,
    Unreachable,
    SynStart,
    SynStalled {
        #[serde(rename = "waited_ns", with = "nanoseconds")]
        waited: Duration,
    },
    SynRetransmit,
    Handshake {
        #[serde(rename = "rtt_ns", with = "nanoseconds")]
        rtt: Duration,
    },
    Reset,
    PeerClosed,
    Stalled,
    TimedOut,
    SynTimeout,
    Abandoned,
    SoftError,
    ListenerClosed,
    ListenerOpened,
    Home,
    Ended,
}

mod nanoseconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
        // More than five centuries are written as that.
        u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_nanos)
    }
}

/// Length of what stands before the object: the checksum and a space.
pub(super) const PREFIX: usize = 9;

/// What stands before an object: its checksum and a space.
pub(super) fn prefix(object: &[u8]) -> [u8; PREFIX] {
    let mut prefix = [b' '; PREFIX];
    let sum = crc32fast::hash(object);
    for (digit, nibble) in prefix.iter_mut().zip((0..8).rev()) {
        *digit = b"0123456789abcdef"[(sum >> (4 * nibble)) as usize & 0xf];
    }
    prefix
}

/// Appends the line of a header or an entry.
pub fn encode(line: &impl Serialize, into: &mut Vec<u8>) {
    let begin = into.len();
    into.extend_from_slice(&[b' '; PREFIX]);
    let written = serde_json::to_writer(&mut *into, line);
    debug_assert!(
        written.is_ok(),
        "a line of a recording has nothing JSON cannot say: {written:?}"
    );
    let prefix = prefix(&into[begin + PREFIX..]);
    into[begin..begin + PREFIX].copy_from_slice(&prefix);
    into.push(b'\n');
}
