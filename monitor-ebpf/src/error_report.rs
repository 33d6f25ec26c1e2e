//! `inet_sk_error_report`: an ICMP error that arrives while `connect()` itself holds the socket.
//!
//! Every other error ends the dial and is seen in [`crate::state`]. This one does not: the kernel queues it for the
//! application, which closes the socket in its own time, with `sk_err` 0. So it is taken from the queue.

use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;
use obit_ebpf::RecordKind;

use crate::emit::emit;
use crate::errno;
use crate::socket::Socket;
use crate::state::tcp;
use crate::watch::watched_peer;

/// `(const struct sock *sk)`; since 5.14.
#[btf_tracepoint(function = "inet_sk_error_report")]
pub(crate) fn inet_sk_error_report(context: BtfTracePointContext) -> i32 {
    let socket = Socket::new(context.arg(0));
    // With `sk_err` set, or nobody holding the socket, the dial ends now and is reported there.
    if i32::from(socket.state()) != tcp::SYN_SENT || socket.error() != 0 || !socket.owned_by_user() {
        return 0;
    }
    let Some(peer) = watched_peer(socket) else { return 0 };
    let Some(tcp_socket) = socket.tcp() else { return 0 };
    let error = socket.queued_error();
    let kind = match error {
        errno::ECONNREFUSED => RecordKind::Refused,
        errno::EHOSTUNREACH | errno::ENETUNREACH | errno::EHOSTDOWN => RecordKind::Unreachable,
        _ => return 0,
    };
    emit(&context, kind, peer, error, socket, tcp_socket);
    0
}
