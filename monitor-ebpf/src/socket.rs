//! Reads a socket: `struct sock` as a trace point hands it over.

use aya_ebpf::Global;
use aya_ebpf::helpers::{bpf_get_socket_cookie, bpf_probe_read_kernel, bpf_skc_to_tcp_sock};
use obit_ebpf::Record;

use crate::globals::{self as at, MISSING};

const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;

/// A `struct sock` the kernel vouches for (the argument of a BTF trace point).
#[derive(Clone, Copy)]
pub(crate) struct Socket(*const u8);

/// The `struct tcp_sock` around a socket.
#[derive(Clone, Copy)]
pub(crate) struct TcpSocket(*const u8);

/// Reads a member by its offset, or `None` if this kernel has none.
///
/// Always inlined: the verifier must see the pointer's type and the offset as a constant.
#[inline(always)]
fn member<T: Copy>(base: *const u8, offset: &Global<u32>) -> Option<T> {
    let offset = offset.load();
    if offset == MISSING {
        return None;
    }
    // SAFETY: `base` is a pointer of a type known to the verifier and `offset` is a member's in that type's BTF; a load
    // that faults gives zero.
    Some(unsafe { core::ptr::read_volatile(base.add(offset as usize).cast()) })
}

impl Socket {
    /// `pointer` must be a trace point's `struct sock *`.
    #[inline(always)]
    pub(crate) fn new(pointer: *const u8) -> Self {
        Self(pointer)
    }

    /// The remote address, IPv4 in its IPv4-mapped form; `None` for other families.
    #[inline(always)]
    pub(crate) fn peer(self) -> Option<[u8; 16]> {
        self.address(&at::OFF_DADDR, &at::OFF_V6_DADDR)
    }

    /// The local address, IPv4 in its IPv4-mapped form; `None` for other families.
    #[inline(always)]
    pub(crate) fn local(self) -> Option<[u8; 16]> {
        self.address(&at::OFF_SADDR, &at::OFF_V6_SADDR)
    }

    /// The remote port, host byte order.
    #[inline(always)]
    pub(crate) fn peer_port(self) -> u16 {
        u16::from_be(member(self.0, &at::OFF_DPORT).unwrap_or(0))
    }

    #[inline(always)]
    fn address(self, v4: &Global<u32>, v6: &Global<u32>) -> Option<[u8; 16]> {
        match member::<u16>(self.0, &at::OFF_FAMILY)? {
            AF_INET => {
                let mut mapped = [0; 4];
                // Network byte order in memory: the bytes as they lie are the address.
                mapped[2] = u32::from_ne_bytes([0, 0, 0xff, 0xff]);
                mapped[3] = member::<u32>(self.0, v4)?;
                Some(bytes(mapped))
            }
            AF_INET6 => {
                let offset = v6.load();
                if offset == MISSING {
                    return None;
                }
                let mut words = [0; 4];
                // SAFETY: as in `member`; word by word, the largest load the verifier lets into an array of words.
                unsafe {
                    let start = self.0.add(offset as usize);
                    words[0] = core::ptr::read_volatile(start.cast());
                    words[1] = core::ptr::read_volatile(start.add(4).cast());
                    words[2] = core::ptr::read_volatile(start.add(8).cast());
                    words[3] = core::ptr::read_volatile(start.add(12).cast());
                }
                Some(bytes(words))
            }
            _ => None,
        }
    }

    /// The cookie of the socket's network namespace; 0 where the kernel has none.
    #[inline(always)]
    pub(crate) fn netns(self) -> u64 {
        // Not from `current`: in a softirq that is whoever was interrupted.
        match member::<*const u8>(self.0, &at::OFF_NET) {
            Some(net) => member(net, &at::OFF_NET_COOKIE).unwrap_or(0),
            None => 0,
        }
    }

    /// Whether a user namespace other than the machine's first one owns the socket's network namespace: whoever made it gives it
    /// whatever addresses he likes. No, where the kernel does not tell.
    #[inline(always)]
    pub(crate) fn in_user_ns(self) -> bool {
        let Some(net) = member::<*const u8>(self.0, &at::OFF_NET) else {
            return false;
        };
        let Some(owner) = member::<*const u8>(net, &at::OFF_NET_USER_NS) else {
            return false;
        };
        // The first one's level is 0, and each other's one more than that of the one it was made in.
        member::<u32>(owner, &at::OFF_USER_NS_LEVEL).is_some_and(|level| level != 0)
    }

    /// `sk_err`: set before the transition to CLOSE.
    #[inline(always)]
    pub(crate) fn error(self) -> u16 {
        member::<u32>(self.0, &at::OFF_ERR).unwrap_or(0) as u16
    }

    /// `sk_err_soft`: an ICMP error that did not end the connection.
    #[inline(always)]
    pub(crate) fn soft_error(self) -> u16 {
        member::<u32>(self.0, &at::OFF_ERR_SOFT).unwrap_or(0) as u16
    }

    /// The TCP state now.
    #[inline(always)]
    pub(crate) fn state(self) -> u8 {
        member(self.0, &at::OFF_STATE).unwrap_or(0)
    }

    /// Whether a system call holds the socket at this moment.
    #[inline(always)]
    pub(crate) fn owned_by_user(self) -> bool {
        member::<u32>(self.0, &at::OFF_OWNED).is_none_or(|owned| owned != 0)
    }

    /// The `errno` of the newest entry in the socket's error queue; 0 when there is none.
    #[inline(always)]
    pub(crate) fn queued_error(self) -> u16 {
        let at_errno = at::OFF_QUEUED_ERRNO.load();
        let Some(last) = member::<*const u8>(self.0, &at::OFF_ERROR_QUEUE_LAST) else {
            return 0;
        };
        if at_errno == MISSING {
            return 0;
        }
        // The queue's head is typed as a buffer; the verifier lets nobody follow it, the helper does, and an empty queue
        // points at itself: then these bytes are whatever lies there and no errno we know.
        // SAFETY: the helper checks the address.
        unsafe { bpf_probe_read_kernel(last.add(at_errno as usize).cast::<u32>()) }.map_or(0, |errno| errno as u16)
    }

    /// The id of the socket's cgroup; 0 where unknown.
    #[inline(always)]
    fn cgroup(self) -> u64 {
        let Some(cgroup) = member::<*const u8>(self.0, &at::OFF_CGROUP) else {
            return 0;
        };
        let Some(node) = member::<*const u8>(cgroup, &at::OFF_CGROUP_NODE) else {
            return 0;
        };
        member(node, &at::OFF_NODE_ID).unwrap_or(0)
    }

    /// `SO_COOKIE`: unique since boot, unlike the socket's address, which the allocator reuses.
    #[inline(always)]
    pub(crate) fn cookie(self) -> u64 {
        // SAFETY: the pointer is a trace point's socket, which the helper accepts.
        unsafe { bpf_get_socket_cookie(self.0.cast_mut().cast()) }
    }

    /// The TCP socket around it; `None` for MPTCP's and other protocols' sockets, which share the trace points.
    #[inline(always)]
    pub(crate) fn tcp(self) -> Option<TcpSocket> {
        // SAFETY: the pointer is a trace point's socket, which the helper accepts.
        let tcp = unsafe { bpf_skc_to_tcp_sock(self.0.cast_mut().cast()) };
        if tcp.is_null() {
            None
        } else {
            Some(TcpSocket(tcp.cast_const().cast()))
        }
    }

    /// Fills what every record says of its socket.
    #[inline(always)]
    pub(crate) fn describe(self, tcp: TcpSocket, record: &mut Record) {
        record.socket_cookie = self.cookie();
        record.netns_cookie = self.netns();
        record.in_user_ns = u8::from(self.in_user_ns());
        record.cgroup_id = self.cgroup();
        record.local = self.local().unwrap_or([0; 16]);
        record.peer_port = self.peer_port();
        record.local_port = tcp.local_port();
        record.retransmits = tcp.retransmits();
    }
}

impl TcpSocket {
    /// The local port, host byte order; 0 only at the start of a dial (`skc_num` is 0 at both ends of a socket's life).
    #[inline(always)]
    pub(crate) fn local_port(self) -> u16 {
        u16::from_be(member(self.0, &at::OFF_SPORT).unwrap_or(0))
    }

    /// Whether it is one of the paths of an MPTCP connection: what happens to one says nothing of the connection.
    #[inline(always)]
    pub(crate) fn is_mptcp_path(self) -> bool {
        member::<u8>(self.0, &at::OFF_MPTCP).unwrap_or(0) != 0
    }

    /// How many times the retransmission timer fired without progress.
    #[inline(always)]
    pub(crate) fn retransmits(self) -> u8 {
        member(self.0, &at::OFF_RETRANSMITS).unwrap_or(0)
    }

    /// The smoothed round-trip time, microseconds.
    #[inline(always)]
    pub(crate) fn rtt_us(self) -> u32 {
        // The kernel keeps eight times its value.
        member::<u32>(self.0, &at::OFF_SRTT).unwrap_or(0) >> 3
    }

    /// The oldest unacknowledged sequence number; `None` if this kernel does not show it.
    #[inline(always)]
    pub(crate) fn oldest_unacknowledged(self) -> Option<u32> {
        member(self.0, &at::OFF_SND_UNA)
    }

    /// The sequence number of the next byte the peer will send; `None` if this kernel does not show it.
    #[inline(always)]
    pub(crate) fn next_expected(self) -> Option<u32> {
        member(self.0, &at::OFF_RCV_NXT)
    }
}

#[inline(always)]
fn bytes(words: [u32; 4]) -> [u8; 16] {
    // SAFETY: plain bytes either way, and of one size.
    unsafe { core::mem::transmute(words) }
}
