//! The records both halves of the monitor share: what the kernel half writes and the daemon reads.
//!
//! A record is plain old data of fixed size. Addresses are always 16 bytes: an IPv4 address is stored as its
//! IPv4-mapped IPv6 form, so that one key names a peer whatever the socket's family.
#![no_std]

/// What one socket was seen doing. The numbers cross the ring buffer: never reuse one.
#[repr(u8)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RecordKind {
    /// `SYN_SENT` → `CLOSE` with `ECONNREFUSED`: nobody listens there.
    Refused = 1,
    /// `SYN_SENT` → `CLOSE` with `EHOSTUNREACH`/`ENETUNREACH`, or an ICMP error during `connect()`.
    Unreachable = 2,
    /// `CLOSE` → `SYN_SENT`: a dial began. Starts the stall timer; says nothing by itself.
    SynStart = 3,
    /// A SYN was sent again.
    SynRetransmit = 4,
    /// `SYN_SENT` → `ESTABLISHED`: the peer answered.
    Handshake = 5,
    /// An established connection was reset by the peer.
    Reset = 6,
    /// `ESTABLISHED` → `CLOSE_WAIT`: the peer sent a FIN.
    PeerClosed = 7,
    /// A second retransmit of an established connection without progress.
    Stalled = 8,
    /// An established connection ended with `ETIMEDOUT`.
    TimedOut = 9,
    /// A socket ended in a way that is no evidence: closed here, or a dial given up before anything was learnt.
    Ended = 10,
}

/// The number of [`RecordKind`]s plus one: the size of tables indexed by kind.
pub const KINDS: usize = 11;

impl RecordKind {
    /// Every kind, in the order of its number.
    pub const ALL: [Self; KINDS - 1] = [
        Self::Refused,
        Self::Unreachable,
        Self::SynStart,
        Self::SynRetransmit,
        Self::Handshake,
        Self::Reset,
        Self::PeerClosed,
        Self::Stalled,
        Self::TimedOut,
        Self::Ended,
    ];

    /// The kind with this number, if there is one.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            1..=10 => Some(Self::ALL[number as usize - 1]),
            _ => None,
        }
    }
}

/// One observation of one socket by the kernel, as it lies in the ring buffer.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    /// `CLOCK_MONOTONIC`, nanoseconds.
    pub kernel_ns: u64,
    /// `SO_COOKIE` of the socket: unique since boot, unlike its address in memory.
    pub socket_cookie: u64,
    /// Cookie of the socket's network namespace; 0 where the kernel has none.
    pub netns_cookie: u64,
    /// Id of the socket's cgroup (the inode of its cgroup v2 directory); 0 where unknown.
    pub cgroup_id: u64,
    /// Remote address, network byte order.
    pub peer: [u8; 16],
    /// Local address, network byte order; zero while the kernel has chosen none.
    pub local: [u8; 16],
    /// Smoothed round-trip time in microseconds, for [`RecordKind::Handshake`]; 0 elsewhere.
    pub rtt_us: u32,
    /// Oldest unacknowledged sequence number, for [`RecordKind::Stalled`]; 0 elsewhere.
    pub snd_una: u32,
    /// Remote port, host byte order.
    pub peer_port: u16,
    /// Local port, host byte order; 0 while the kernel has chosen none.
    pub local_port: u16,
    /// The socket's error (`errno`), or the soft or ICMP error behind the record; 0 when there is none.
    pub errno: u16,
    /// A [`RecordKind`] by number.
    pub kind: u8,
    /// How many times the oldest segment has been sent again, saturating.
    pub retransmits: u8,
}

/// The size of a record in the ring buffer, bytes.
pub const RECORD_BYTES: usize = size_of::<Record>();

const _: () = assert!(RECORD_BYTES == 80, "the record has no padding");

/// Why an observation was not delivered; indices into the kernel half's counters.
#[repr(u32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Loss {
    /// The ring buffer was full.
    RingFull = 0,
    /// The table of stalled connections or of dials was full.
    TableFull = 1,
    /// A field could not be read from the socket.
    Unreadable = 2,
}

impl Loss {
    /// Every reason, in the order of its index.
    pub const ALL: [Self; 3] = [Self::RingFull, Self::TableFull, Self::Unreadable];
}
