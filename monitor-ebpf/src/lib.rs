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
    /// `SYN_SENT` → `CLOSE` with `ETIMEDOUT`: the kernel gave up on a dial nobody answered.
    SynTimeout = 11,
    /// `SYN_SENT` → `CLOSE` without an error after a SYN was sent again: the application gave up on a dial nobody answered.
    Abandoned = 12,
    /// A segment of an established connection is sent again, and an ICMP error said that there is no way.
    SoftError = 13,
    /// The last listener on a port of a namespace of this node is gone. `peer` is its own address, unspecified if it had
    /// none.
    ListenerClosed = 14,
    /// A listener on a port of a namespace of this node begins. `peer` as for [`Self::ListenerClosed`].
    ListenerOpened = 15,
    /// A watched address (`peer`) is one of this namespace.
    Home = 16,
}

/// The number of [`RecordKind`]s plus one: the size of tables indexed by kind.
pub const KINDS: usize = 17;

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
        Self::SynTimeout,
        Self::Abandoned,
        Self::SoftError,
        Self::ListenerClosed,
        Self::ListenerOpened,
        Self::Home,
    ];

    /// The kind with this number, if there is one.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            1..=16 => Some(Self::ALL[number as usize - 1]),
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
    /// The socket's error (`errno`, none of which is above 133), or the soft or ICMP error behind the record; 0 when there is none.
    pub errno: u8,
    /// Not 0 if a user namespace other than the machine's first one owns the socket's network namespace.
    pub in_user_ns: u8,
    /// A [`RecordKind`] by number.
    pub kind: u8,
    /// How many times the oldest segment has been sent again, saturating.
    pub retransmits: u8,
}

impl Record {
    /// The record in these bytes, as the kernel half wrote them on this machine; `None` if they are not as many as a record
    /// has. Any bytes of the right number are a record: what `kind` means is asked with [`RecordKind::from_number`].
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; RECORD_BYTES] = bytes.try_into().ok()?;
        let (kernel_ns, rest) = take(bytes)?;
        let (socket_cookie, rest) = take(rest)?;
        let (netns_cookie, rest) = take(rest)?;
        let (cgroup_id, rest) = take(rest)?;
        let (peer, rest) = take(rest)?;
        let (local, rest) = take(rest)?;
        let (rtt_us, rest) = take(rest)?;
        let (snd_una, rest) = take(rest)?;
        let (peer_port, rest) = take(rest)?;
        let (local_port, rest) = take(rest)?;
        let [errno, in_user_ns, kind, retransmits] = *rest else {
            return None;
        };
        Some(Self {
            kernel_ns: u64::from_ne_bytes(kernel_ns),
            socket_cookie: u64::from_ne_bytes(socket_cookie),
            netns_cookie: u64::from_ne_bytes(netns_cookie),
            cgroup_id: u64::from_ne_bytes(cgroup_id),
            peer,
            local,
            rtt_us: u32::from_ne_bytes(rtt_us),
            snd_una: u32::from_ne_bytes(snd_una),
            peer_port: u16::from_ne_bytes(peer_port),
            local_port: u16::from_ne_bytes(local_port),
            errno,
            in_user_ns,
            kind,
            retransmits,
        })
    }
}

/// The first `N` bytes, and the rest.
fn take<const N: usize>(bytes: &[u8]) -> Option<([u8; N], &[u8])> {
    bytes.split_first_chunk().map(|(first, rest)| (*first, rest))
}

/// How many bits the sketch of the watch filter has.
///
/// Most sockets' peers are watched by nobody. A bit that is not set says so for a fraction of what a look-up in the filter
/// itself costs; one that is set says nothing.
pub const SKETCH_BITS: u32 = 1 << 16;

/// The bit of the sketch that is set while an address, or another one with the same bit, is watched.
#[inline(always)]
#[must_use]
pub const fn sketch_bit(address: &[u8; 16]) -> u32 {
    let [a0, a1, a2, a3, b0, b1, b2, b3, c0, c1, c2, c3, d0, d1, d2, d3] = *address;
    let folded = u32::from_ne_bytes([a0, a1, a2, a3])
        ^ u32::from_ne_bytes([b0, b1, b2, b3])
        ^ u32::from_ne_bytes([c0, c1, c2, c3])
        ^ u32::from_ne_bytes([d0, d1, d2, d3]);
    // Fibonacci hashing (Knuth, The Art of Computer Programming 3, 6.4): the upper bits depend on all of the address.
    folded.wrapping_mul(0x9e37_79b1) >> (32 - SKETCH_BITS.trailing_zeros())
}

/// The size of a record in the ring buffer, bytes.
pub const RECORD_BYTES: usize = size_of::<Record>();

const _: () = assert!(RECORD_BYTES == 80, "the record has no padding");

/// How many names of cgroups, one inside the other, the kernel half tells at most. A container's is about the fifth.
pub const CGROUP_LEVELS: u32 = 16;

/// Room for the name of a cgroup, with the zero that ends it, bytes. A longer one is cut off; those of pods have 71.
pub const CGROUP_NAME_BYTES: usize = 128;

/// Why an observation was not delivered; indices into the kernel half's counters.
#[repr(u32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Loss {
    /// The ring buffer was full.
    RingFull = 0,
    /// The table of stalled connections or of dials was full.
    TableFull = 1,
    /// A record came and is of no kind the reader knows. Counted by the reader, not by the kernel half.
    Unreadable = 2,
}

impl Loss {
    /// Every reason, in the order of its index.
    pub const ALL: [Self; 3] = [Self::RingFull, Self::TableFull, Self::Unreadable];
}

/// The counters of one processor, in words: a cache line of its own.
pub const LOSS_ROW: usize = 8;

const _: () = assert!(Loss::ALL.len() <= LOSS_ROW, "a row holds every reason");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_of_a_record_is_found_where_the_kernel_half_writes_it() {
        let mut bytes = [0; RECORD_BYTES];
        for (place, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::try_from(place).unwrap();
        }
        let record = Record::from_bytes(&bytes).unwrap();
        // Field by field against the layout the compiler gave the type.
        let at = |offset: usize| u8::try_from(offset).unwrap();
        assert_eq!(
            record.kernel_ns.to_ne_bytes()[0],
            at(core::mem::offset_of!(Record, kernel_ns))
        );
        assert_eq!(
            record.socket_cookie.to_ne_bytes()[0],
            at(core::mem::offset_of!(Record, socket_cookie))
        );
        assert_eq!(
            record.netns_cookie.to_ne_bytes()[0],
            at(core::mem::offset_of!(Record, netns_cookie))
        );
        assert_eq!(
            record.cgroup_id.to_ne_bytes()[0],
            at(core::mem::offset_of!(Record, cgroup_id))
        );
        assert_eq!(record.peer[0], at(core::mem::offset_of!(Record, peer)));
        assert_eq!(record.local[0], at(core::mem::offset_of!(Record, local)));
        assert_eq!(
            record.rtt_us.to_ne_bytes()[0],
            at(core::mem::offset_of!(Record, rtt_us))
        );
        assert_eq!(
            record.snd_una.to_ne_bytes()[0],
            at(core::mem::offset_of!(Record, snd_una))
        );
        assert_eq!(
            record.peer_port.to_ne_bytes()[0],
            at(core::mem::offset_of!(Record, peer_port))
        );
        assert_eq!(
            record.local_port.to_ne_bytes()[0],
            at(core::mem::offset_of!(Record, local_port))
        );
        assert_eq!(record.errno, at(core::mem::offset_of!(Record, errno)));
        assert_eq!(record.in_user_ns, at(core::mem::offset_of!(Record, in_user_ns)));
        assert_eq!(record.kind, at(core::mem::offset_of!(Record, kind)));
        assert_eq!(record.retransmits, at(core::mem::offset_of!(Record, retransmits)));
    }

    #[test]
    fn bytes_of_another_number_are_no_record() {
        for length in (0..RECORD_BYTES).chain(RECORD_BYTES + 1..=2 * RECORD_BYTES) {
            assert_eq!(Record::from_bytes(&[0; 2 * RECORD_BYTES][..length]), None);
        }
    }

    #[test]
    fn a_kind_is_found_by_its_number_and_no_other_number_is_one() {
        for kind in RecordKind::ALL {
            assert_eq!(RecordKind::from_number(kind as u8), Some(kind));
        }
        let known = (0..=u8::MAX)
            .filter(|number| RecordKind::from_number(*number).is_some())
            .count();
        assert_eq!(known, KINDS - 1);
    }
}
