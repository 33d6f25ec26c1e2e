//! Established connections that are being retransmitted: has anything been acknowledged since the last time?

use aya_ebpf::macros::map;
use aya_ebpf::maps::LruHashMap;
use obit_ebpf::Loss;

use crate::emit::lost;

/// What is known of a connection that was retransmitted.
#[repr(C)]
#[derive(Clone, Copy)]
struct Progress {
    snd_una: u32,
    retransmits: u32,
}

/// By socket cookie. The oldest entry gives way: what was retransmitted long ago has either recovered or ended.
#[map]
static PROGRESS: LruHashMap<u64, Progress> = LruHashMap::with_max_entries(16_384, 0);

/// Notes a retransmit; returns how many there were since `snd_una` last moved, this one included.
#[inline(always)]
pub(crate) fn retransmitted(cookie: u64, snd_una: u32) -> u32 {
    if let Some(known) = PROGRESS.get_ptr_mut(cookie) {
        // SAFETY: the socket's lock is held here, so nobody else writes its entry; should the table hand the entry to
        // another socket meanwhile, that socket's count is off by one, which the second condition for a stall forgives.
        let known = unsafe { &mut *known };
        if known.snd_una == snd_una {
            known.retransmits = known.retransmits.saturating_add(1);
        } else {
            *known = Progress {
                snd_una,
                retransmits: 1,
            };
        }
        return known.retransmits;
    }
    if PROGRESS
        .insert(
            cookie,
            Progress {
                snd_una,
                retransmits: 1,
            },
            0,
        )
        .is_err()
    {
        lost(Loss::TableFull);
    }
    1
}

/// Forgets a connection that ended.
#[inline(always)]
pub(crate) fn ended(cookie: u64) {
    // Most were never retransmitted. To look takes no lock, to remove does.
    if PROGRESS.get_ptr(cookie).is_some() {
        let _ = PROGRESS.remove(cookie);
    }
}
