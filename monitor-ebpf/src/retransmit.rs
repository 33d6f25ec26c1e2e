//! `tcp_retransmit_skb`: a SYN or a segment is sent again.

use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;
use obit_ebpf::RecordKind;

use crate::emit::emit;
use crate::socket::Socket;
use crate::state::tcp;
use crate::watch::watched_peer;
use crate::{errno, stalled};

/// `(const struct sock *sk, const struct sk_buff *skb[, int err])`
#[btf_tracepoint(function = "tcp_retransmit_skb")]
pub(crate) fn tcp_retransmit_skb(context: BtfTracePointContext) -> i32 {
    let socket = Socket::new(context.arg(0));
    let state = i32::from(socket.state());
    if state != tcp::SYN_SENT && state != tcp::ESTABLISHED {
        return 0;
    }
    let Some(peer) = watched_peer(socket) else { return 0 };
    let Some(tcp_socket) = socket.tcp() else { return 0 };
    if tcp_socket.is_mptcp_path() {
        return 0;
    }
    let error = socket.soft_error();
    if state == tcp::SYN_SENT {
        emit(&context, RecordKind::SynRetransmit, peer, error, socket, tcp_socket);
        return 0;
    }
    // The kernel keeps such an error back: the way may come back before it gives up.
    if let errno::EHOSTUNREACH | errno::ENETUNREACH | errno::EHOSTDOWN = error {
        emit(&context, RecordKind::SoftError, peer, error, socket, tcp_socket);
    }
    let Some(snd_una) = tcp_socket.oldest_unacknowledged() else {
        return 0;
    };
    // A lost burst is repaired segment by segment within a round trip, and the first acknowledgement moves `snd_una`
    // only then. So besides a second retransmit the retransmission timer itself must have run out.
    if stalled::retransmitted(socket.cookie(), snd_una) >= 2 && tcp_socket.retransmits() >= 1 {
        emit(&context, RecordKind::Stalled, peer, error, socket, tcp_socket);
    }
    0
}
