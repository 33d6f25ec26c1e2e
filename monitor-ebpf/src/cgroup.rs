//! The cgroup of one of the monitor's own sockets, by names: which container a subscriber is in.
//!
//! Attached to nothing. The monitor runs it (`BPF_PROG_TEST_RUN`) with the number of a descriptor of its own, and finds the
//! names in [`CGROUP_PATH`]. An accepted unix socket was made by the process that connected, in that process's cgroup, and
//! keeps it; no process chooses the name of a cgroup it did not make, nor leaves the one it was put in without a right to.

use aya_ebpf::Global;
use aya_ebpf::bindings::BPF_F_MMAPABLE;
use aya_ebpf::helpers::{bpf_get_current_task, bpf_probe_read_kernel, generated::bpf_probe_read_kernel_str};
use aya_ebpf::macros::{map, raw_tracepoint};
use aya_ebpf::maps::Array;
use aya_ebpf::programs::RawTracePointContext;
use obit_ebpf::{CGROUP_LEVELS, CGROUP_NAME_BYTES};

use crate::globals::{self as at, MISSING};

/// How many names there are (as a number, in the first place), then the names, the innermost first.
#[map]
static CGROUP_PATH: Array<[u8; CGROUP_NAME_BYTES]> = Array::with_max_entries(CGROUP_LEVELS + 1, BPF_F_MMAPABLE);

/// `(u64 descriptor)`
#[raw_tracepoint]
pub(crate) fn cgroup_of(context: RawTracePointContext) -> u32 {
    let names = cgroup(context.arg(0)).map_or(0, write_names);
    if let Some(count) = CGROUP_PATH.get_ptr_mut(0) {
        // SAFETY: an entry of the map, larger than a number and aligned as one.
        unsafe { count.cast::<u64>().write(names) };
    }
    0
}

/// The `struct cgroup` of the socket behind a descriptor of the calling process.
#[inline(always)]
fn cgroup(descriptor: u64) -> Option<u64> {
    // SAFETY: whose process this is, and no more.
    let task = unsafe { bpf_get_current_task() };
    let files: u64 = member(task, &at::OFF_TASK_FILES)?;
    let table: u64 = member(files, &at::OFF_FILES_TABLE)?;
    let size: u32 = member(table, &at::OFF_TABLE_SIZE)?;
    let start: u64 = member(table, &at::OFF_TABLE_START)?;
    if descriptor >= u64::from(size) {
        return None;
    }
    let file: u64 = read(start + descriptor * 8)?;
    let socket: u64 = member(file, &at::OFF_FILE_DATA)?;
    let sock: u64 = member(socket, &at::OFF_SOCKET_SOCK)?;
    member(sock, &at::OFF_CGROUP)
}

/// Writes the names of a cgroup and of those around it. Returns how many; 0 if they are more than there is room for, for then
/// the outermost, which count, are not among them.
#[inline(always)]
fn write_names(cgroup: u64) -> u64 {
    let Some(mut node) = member::<u64>(cgroup, &at::OFF_CGROUP_NODE) else {
        return 0;
    };
    let mut level = 1;
    while level <= CGROUP_LEVELS {
        let Some(parent) = member::<u64>(node, &at::OFF_NODE_PARENT) else {
            return 0;
        };
        // The root has a name of no account.
        if parent == 0 {
            return u64::from(level - 1);
        }
        // One after the other: kernels before 6.3 take no program that moves a value which was never set, as the compiler would.
        let Some(place) = CGROUP_PATH.get_ptr_mut(level) else {
            return 0;
        };
        let Some(name) = member::<u64>(node, &at::OFF_NODE_NAME) else {
            return 0;
        };
        // SAFETY: an entry of the map, of that size; the helper checks the name's address.
        let length = unsafe { bpf_probe_read_kernel_str(place.cast(), CGROUP_NAME_BYTES as u32, name as *const _) };
        if length < 0 {
            return 0;
        }
        node = parent;
        level += 1;
    }
    0
}

/// A member of a structure of the kernel's, by its offset.
#[inline(always)]
fn member<T: Copy>(base: u64, offset: &Global<u32>) -> Option<T> {
    let offset = offset.load();
    if base == 0 || offset == MISSING {
        return None;
    }
    read(base + u64::from(offset))
}

#[inline(always)]
fn read<T: Copy>(address: u64) -> Option<T> {
    // SAFETY: the helper checks the address.
    unsafe { bpf_probe_read_kernel(address as *const T) }.ok()
}
