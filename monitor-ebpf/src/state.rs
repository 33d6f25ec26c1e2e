//! `inet_sock_set_state`: dials that begin, are answered or fail, connections that end, and listeners that come and go.

use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;
use obit_ebpf::RecordKind;

use crate::emit::emit;
use crate::socket::Socket;
use crate::watch::watched_peer;
use crate::{errno, listener, stalled};

/// TCP states (`include/net/tcp_states.h`; fixed: BPF programs see them as `BPF_TCP_*`).
pub(crate) mod tcp {
    pub(crate) const ESTABLISHED: i32 = 1;
    pub(crate) const SYN_SENT: i32 = 2;
    pub(crate) const SYN_RECV: i32 = 3;
    pub(crate) const CLOSE: i32 = 7;
    pub(crate) const CLOSE_WAIT: i32 = 8;
    pub(crate) const LISTEN: i32 = 10;
}

/// `(const struct sock *sk, const int oldstate, const int newstate)`
#[btf_tracepoint(function = "inet_sock_set_state")]
pub(crate) fn inet_sock_set_state(context: BtfTracePointContext) -> i32 {
    let old: i32 = context.arg(1);
    let new: i32 = context.arg(2);
    let socket = Socket::new(context.arg(0));
    match (old, new) {
        (_, tcp::LISTEN) => listener::opened(&context, socket),
        (tcp::LISTEN, tcp::CLOSE) => listener::closed(&context, socket),
        (tcp::SYN_RECV, tcp::ESTABLISHED) => listener::accepted(&context, socket),
        _ if matters(old, new) => of_connection(&context, socket, old, new),
        _ => {}
    }
    0
}

/// What a transition of a socket says of its peer.
#[inline(always)]
fn of_connection(context: &BtfTracePointContext, socket: Socket, old: i32, new: i32) {
    let Some(peer) = watched_peer(socket) else { return };
    let Some(tcp_socket) = socket.tcp() else { return };
    if tcp_socket.is_mptcp_path() {
        return;
    }
    let error = socket.error();
    if old != tcp::SYN_SENT && new != tcp::SYN_SENT && new != tcp::CLOSE_WAIT {
        stalled::ended(socket.cookie());
    }
    if let Some(kind) = kind(old, new, error, tcp_socket.retransmits()) {
        if let RecordKind::Handshake = kind {
            listener::answered(socket, tcp_socket, peer);
        }
        emit(context, kind, peer, error, socket, tcp_socket);
    }
}

/// The transitions that say something of a peer, by their two states alone. What follows a close (FIN_WAIT, LAST_ACK,
/// TIME_WAIT) says nothing of it.
#[inline(always)]
fn matters(old: i32, new: i32) -> bool {
    new == tcp::SYN_SENT
        || old == tcp::SYN_SENT
        || old == tcp::ESTABLISHED
        || (old == tcp::CLOSE_WAIT && new == tcp::CLOSE)
}

/// What a transition says.
#[inline(always)]
fn kind(old: i32, new: i32, error: u16, retransmits: u8) -> Option<RecordKind> {
    match (old, new) {
        (_, tcp::SYN_SENT) => Some(RecordKind::SynStart),
        (tcp::SYN_SENT, tcp::ESTABLISHED) => Some(RecordKind::Handshake),
        (tcp::SYN_SENT, tcp::CLOSE) => Some(match error {
            errno::ECONNREFUSED => RecordKind::Refused,
            errno::EHOSTUNREACH | errno::ENETUNREACH | errno::EHOSTDOWN => RecordKind::Unreachable,
            errno::ETIMEDOUT => RecordKind::SynTimeout,
            // The application gave up: on silence, or for reasons of its own.
            0 if retransmits > 0 => RecordKind::Abandoned,
            // ECONNABORTED: somebody on this node destroyed the socket.
            _ => RecordKind::Ended,
        }),
        // Simultaneous open: the dial is over, and nothing is known of the peer's listener.
        (tcp::SYN_SENT, _) => Some(RecordKind::Ended),
        (tcp::ESTABLISHED, tcp::CLOSE_WAIT) => Some(RecordKind::PeerClosed),
        (tcp::ESTABLISHED | tcp::CLOSE_WAIT, tcp::CLOSE) => match error {
            errno::ECONNRESET | errno::EPIPE => Some(RecordKind::Reset),
            // EHOSTUNREACH: the timer ran out, and an ICMP error seen on the way is reported in its place.
            errno::ETIMEDOUT | errno::EHOSTUNREACH | errno::ENETUNREACH => Some(RecordKind::TimedOut),
            // The end of a half-closed connection was told with its FIN.
            _ if old == tcp::CLOSE_WAIT => None,
            _ => Some(RecordKind::Ended),
        },
        // Closed on this side.
        (tcp::ESTABLISHED, _) => Some(RecordKind::Ended),
        _ => None,
    }
}
