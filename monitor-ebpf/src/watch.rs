//! The watch filter: which peers anybody asked for.

use aya_ebpf::bindings::{BPF_F_MMAPABLE, BPF_F_NO_PREALLOC};
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, HashMap};
use obit_ebpf::{SKETCH_BITS, sketch_bit};

use crate::globals::NETNS_ONLY;
use crate::socket::Socket;

/// The watched addresses. Without preallocation: most nodes watch a few hundred of the 65 536.
#[map]
static WATCHED: HashMap<[u8; 16], u8> = HashMap::with_max_entries(65_536, BPF_F_NO_PREALLOC);

/// What [`WATCHED`] holds, coarsely: see [`sketch_bit`].
#[map]
static SKETCH: Array<u64> = Array::with_max_entries(SKETCH_BITS / u64::BITS, BPF_F_MMAPABLE);

/// The socket's peer, if somebody watches it and the socket is in a namespace we look at.
#[inline(always)]
pub(crate) fn watched_peer(socket: Socket) -> Option<[u8; 16]> {
    let only = NETNS_ONLY.load();
    if only != 0 && socket.netns() != only {
        return None;
    }
    let peer = socket.peer()?;
    is_watched(&peer).then_some(peer)
}

/// Whether somebody watches an address.
#[inline(always)]
pub(crate) fn is_watched(address: &[u8; 16]) -> bool {
    let bit = sketch_bit(address);
    let Some(word) = SKETCH.get(bit / u64::BITS) else {
        return false;
    };
    *word & (1 << (bit % u64::BITS)) != 0 && WATCHED.get_ptr(address).is_some()
}
