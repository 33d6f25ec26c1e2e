//! Listeners in the pods of this node: a server that stops listening is known to be gone before any packet says so.
//!
//! A listener that closes is news only if it was the last one on its port in its namespace. That is known of listeners whose
//! start was seen: they are counted. Of others only that there is one is learnt, from a connection accepted on a port where
//! none is counted; such a port is never reported.
//!
//! It is news only of a port on which a connection to a watched address was accepted. A listener that only holds a port,
//! while a redirection takes its connections elsewhere, is none that anybody reached.
//!
//! A listener on the unspecified address has none of its own: which addresses a namespace has is learnt from connections
//! accepted in it. A namespace may call itself whatever it likes, so only a connection both ends of which were seen counts:
//! dialled from another namespace, accepted here, the same addresses, ports and first sequence number. Who owns two namespaces shows
//! both ends himself, so nothing is looked at in one that a user namespace owns.

use core::arch::asm;

use aya_ebpf::bindings::{BPF_F_NO_PREALLOC, BPF_NOEXIST};
use aya_ebpf::helpers::bpf_ktime_get_ns;
use aya_ebpf::macros::map;
use aya_ebpf::maps::{HashMap, LruHashMap};
use aya_ebpf::programs::BtfTracePointContext;
use obit_ebpf::{Loss, RecordKind};

use crate::emit::{emit_local, is_wanted, lost};
use crate::globals::NETNS_ONLY;
use crate::socket::{Socket, TcpSocket};
use crate::watch::is_watched;

/// The listeners on one port of one namespace.
#[repr(C)]
#[derive(Clone, Copy)]
struct Port {
    /// Those whose start was seen.
    counted: u64,
    /// Not 0 if there is one whose start was not.
    uncounted: u64,
}

/// By namespace cookie and port.
#[map]
static PORTS: HashMap<[u64; 2], Port> = HashMap::with_max_entries(262_144, BPF_F_NO_PREALLOC);

/// The listeners that are counted, by socket cookie.
#[map]
static COUNTED: HashMap<u64, u8> = HashMap::with_max_entries(262_144, BPF_F_NO_PREALLOC);

/// The ports that a connection from another namespace reached, by namespace cookie and port. The stalest gives way, and is
/// learnt again with its next connection.
#[map]
static REACHED: LruHashMap<[u64; 2], u8> = LruHashMap::with_max_entries(16_384, 0);

/// The namespace each watched address was last reached in.
#[map]
static ADDRESSES: LruHashMap<[u8; 16], u64> = LruHashMap::with_max_entries(65_536, 0);

/// What both ends of a new connection know of it.
#[repr(C)]
#[derive(Clone, Copy)]
struct Tie {
    server: [u8; 16],
    client: [u8; 16],
    server_port: u16,
    client_port: u16,
    /// The client's first sequence number.
    isn: u32,
}

/// Connections to watched addresses that were answered, not yet seen to be accepted: the namespace they were dialled from.
#[map]
static ANSWERED: LruHashMap<Tie, u64> = LruHashMap::with_max_entries(16_384, 0);

/// A way from a namespace to a watched address and port.
#[repr(C)]
#[derive(Clone, Copy)]
struct Way {
    server: [u8; 16],
    server_port: u64,
    client_netns: u64,
}

/// When a connection was last seen at both its ends, by its way. What one connection showed, the next ones would show
/// again: for [`TIE_AGAIN_NS`] they are not tied.
#[map]
static TIED: LruHashMap<Way, u64> = LruHashMap::with_max_entries(4_096, 0);

/// An address that moves to another namespace is found there after this time at the latest.
const TIE_AGAIN_NS: u64 = 1_000_000_000;

/// The socket's namespace and port, if listeners are looked at there.
#[inline(always)]
fn port_of(socket: Socket) -> Option<[u64; 2]> {
    if !is_wanted(RecordKind::ListenerClosed) {
        return None;
    }
    let (netns, only) = (socket.netns(), NETNS_ONLY.load());
    if netns == 0 || (only != 0 && only != netns) || socket.in_user_ns() {
        return None;
    }
    match socket.tcp()?.local_port() {
        // `listen` without `bind` gets its port only after this.
        0 => None,
        port => Some([netns, u64::from(port)]),
    }
}

/// A socket begins to listen.
#[inline(always)]
pub(crate) fn opened(context: &BtfTracePointContext, socket: Socket) {
    let Some(port) = port_of(socket) else { return };
    // A second `listen` on a socket changes its backlog.
    if COUNTED.insert(socket.cookie(), 1, u64::from(BPF_NOEXIST)).is_err() {
        return;
    }
    let first = Port {
        counted: 1,
        uncounted: 0,
    };
    // Whoever finds the port there adds to it, also if it came a moment ago.
    if PORTS.insert(port, first, u64::from(BPF_NOEXIST)).is_err() {
        match PORTS.get_ptr_mut(port) {
            Some(known) => add(known, 1),
            None => lost(Loss::TableFull),
        }
    }
    if REACHED.get_ptr(port).is_some() {
        emit_local(context, RecordKind::ListenerOpened, socket);
    }
}

/// A socket listens no more.
#[inline(always)]
pub(crate) fn closed(context: &BtfTracePointContext, socket: Socket) {
    let Some(port) = port_of(socket) else { return };
    if COUNTED.remove(socket.cookie()).is_err() {
        return;
    }
    let Some(known) = PORTS.get_ptr_mut(port) else { return };
    add(known, -1);
    // SAFETY: an entry of the map; another program may change it meanwhile, and finds the same then.
    let Port { counted, uncounted } = unsafe { core::ptr::read_volatile(known) };
    if counted != 0 || uncounted != 0 {
        return;
    }
    // Gone already if two ended at once.
    let _ = PORTS.remove(port);
    if REACHED.get_ptr(port).is_some() {
        emit_local(context, RecordKind::ListenerClosed, socket);
    }
}

/// A dial was answered. The server's end is next.
#[inline(always)]
pub(crate) fn answered(socket: Socket, tcp: TcpSocket, server: [u8; 16]) {
    if !is_wanted(RecordKind::ListenerClosed) {
        return;
    }
    let netns = socket.netns();
    let way = Way {
        server,
        server_port: u64::from(socket.peer_port()),
        client_netns: netns,
    };
    // SAFETY: an entry of the map, read at once.
    let tied = TIED.get_ptr(way).map(|at| unsafe { *at });
    if tied.is_some_and(|at| now().wrapping_sub(at) < TIE_AGAIN_NS) {
        return;
    }
    let (Some(client), Some(unacknowledged)) = (socket.local(), tcp.oldest_unacknowledged()) else {
        return;
    };
    let tie = Tie {
        server,
        client,
        server_port: socket.peer_port(),
        client_port: tcp.local_port(),
        // The SYN took one.
        isn: unacknowledged.wrapping_sub(1),
    };
    if ANSWERED.insert(tie, netns, 0).is_err() {
        lost(Loss::TableFull);
    }
}

/// A connection was accepted.
#[inline(always)]
pub(crate) fn accepted(context: &BtfTracePointContext, socket: Socket) {
    let Some(address) = socket.local() else { return };
    // First what rules most connections out.
    if !is_watched(&address) {
        return;
    }
    let Some(port) = port_of(socket) else { return };
    let [netns, number] = port;
    let unknown = Port {
        counted: 0,
        uncounted: 1,
    };
    match PORTS.get_ptr_mut(port) {
        // SAFETY: an entry of the map; another program may change it meanwhile, and finds the same then.
        Some(known) if unsafe { (*known).counted } == 0 => unsafe { (*known).uncounted = 1 },
        Some(_) => {}
        None => {
            if PORTS.insert(port, unknown, u64::from(BPF_NOEXIST)).is_err() {
                lost(Loss::TableFull);
            }
        }
    }
    let (Some(tcp), Some(client)) = (socket.tcp(), socket.peer()) else {
        return;
    };
    let Some(expected) = tcp.next_expected() else { return };
    let tie = Tie {
        server: address,
        client,
        server_port: number as u16,
        client_port: socket.peer_port(),
        isn: expected.wrapping_sub(1),
    };
    // SAFETY: an entry of the map, read at once.
    let dialled_from = ANSWERED.get_ptr(tie).map(|from| unsafe { *from });
    let Some(dialled_from) = dialled_from else { return };
    // Gone already if the map was short of room.
    let _ = ANSWERED.remove(tie);
    let way = Way {
        server: address,
        server_port: number,
        client_netns: dialled_from,
    };
    if TIED.insert(way, now(), 0).is_err() {
        lost(Loss::TableFull);
    }
    if dialled_from != netns {
        reached(context, socket, port, address);
    }
}

/// A connection from another namespace reached a port.
#[inline(always)]
fn reached(context: &BtfTracePointContext, socket: Socket, port: [u64; 2], address: [u8; 16]) {
    if REACHED.get_ptr(port).is_none() && REACHED.insert(port, 1, 0).is_err() {
        lost(Loss::TableFull);
    }
    let [netns, _] = port;
    // SAFETY: an entry of the map, read at once.
    let known = ADDRESSES.get_ptr(address).map(|known| unsafe { *known });
    if known != Some(netns) {
        if ADDRESSES.insert(address, netns, 0).is_err() {
            lost(Loss::TableFull);
        }
        emit_local(context, RecordKind::Home, socket);
    }
}

/// `CLOCK_MONOTONIC`, nanoseconds.
#[inline(always)]
fn now() -> u64 {
    // SAFETY: plain reading of a clock.
    unsafe { bpf_ktime_get_ns() }
}

/// Changes the number of counted listeners, whoever else changes it.
#[inline(always)]
fn add(port: *mut Port, change: i64) {
    // SAFETY: an entry of the map, whose first word is the number.
    unsafe {
        asm!("lock *(u64 *)({count} + 0) += {change}", count = in(reg) port, change = in(reg) change);
    }
}
