//! Writes records to the ring buffer, and wakes the reader no more often than it must be.
//!
//! The wake-up is what costs the watched program (3–6 µs; a record costs 0.1 µs), so whether a record carries one depends
//! on whether the reader sleeps:
//!
//! - **asleep** (`READER_AWAKE` is 0): every record wakes it, except [`Urgency::Idle`], which can wait until something else
//!   does, unless the buffer is half full.
//! - **awake**: it looks at the buffer every millisecond or so anyway. Only [`Urgency::Urgent`] records wake it at
//!   once, and at most one per millisecond and CPU: the others of a burst are read with the first, or a tick later.
//!
//! Where every processor has a doorbell, an urgent record rings that of the processor it is written on instead, asleep or
//! awake, at most once a millisecond: a thread bound to that processor reads it, and looks again after that millisecond.
//!
//! No wake-up is lost. The reader clears the flag *before* its last looks at the buffer. A record committed before such a
//! look is found by it; one that sees the flag cleared wakes the reader; left is a record whose flag was read before the
//! clearing and which is committed after the look. The reader therefore looks once more a tick later, before it sleeps,
//! and while asleep looks again on a slow watchdog, for a program that was preempted between the two for longer than that.
//!
//! `BPF_RB_FORCE_WAKEUP` rather than the adaptive default: the kernel's own rule wakes only a reader that had read
//! everything, and records without a wake-up may lie unread.

use core::arch::asm;

use aya_ebpf::EbpfContext;
use aya_ebpf::bindings::{
    BPF_F_CURRENT_CPU, BPF_F_MMAPABLE, BPF_RB_AVAIL_DATA, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP, BPF_RB_RING_SIZE,
};
use aya_ebpf::helpers::{bpf_get_smp_processor_id, bpf_ktime_get_ns, bpf_perf_event_output};
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, PerCpuArray, PerfEventArray, RingBuf};
use aya_ebpf::programs::BtfTracePointContext;
use aya_log_ebpf::debug;
use obit_ebpf::{LOSS_ROW, Loss, Record, RecordKind};

use crate::globals::{HAVE_DOORBELLS, KINDS_WANTED};
use crate::socket::{Socket, TcpSocket};

/// The records. The loader sets the size.
#[map]
static SIGHTINGS: RingBuf = RingBuf::with_byte_size(1 << 20, 0);

/// Records not delivered, by [`Loss`]; a row for each processor, whose number the loader sets.
#[map]
static LOSSES: Array<[u64; LOSS_ROW]> = Array::with_max_entries(1, BPF_F_MMAPABLE);

/// Set by the reader while it looks at the buffer by itself.
#[map]
static READER_AWAKE: Array<u64> = Array::with_max_entries(1, BPF_F_MMAPABLE);

/// When this CPU last woke the reader with an urgent record, `CLOCK_MONOTONIC` nanoseconds.
#[map]
static LAST_URGENT: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

/// Urgent records closer together than this share one wake-up, while the reader is awake.
const URGENT_SPACING_NS: u64 = 1_000_000;

/// Wakes the thread that reads on this processor.
#[map]
static DOORBELLS: PerfEventArray<u8> = PerfEventArray::new(0);

/// How soon the reader must have a record.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Urgency {
    /// It can change a verdict against a peer.
    Urgent,
    /// It starts a timer, or acquits a peer.
    Soon,
    /// It only tidies up.
    Idle,
}

#[inline(always)]
fn urgency(kind: RecordKind) -> Urgency {
    match kind {
        RecordKind::SynStart | RecordKind::Handshake | RecordKind::ListenerOpened => Urgency::Soon,
        RecordKind::Ended | RecordKind::Home => Urgency::Idle,
        _ => Urgency::Urgent,
    }
}

/// Whether records of this kind are wanted.
#[inline(always)]
pub(crate) fn is_wanted(kind: RecordKind) -> bool {
    KINDS_WANTED.load() & (1 << kind as u32) != 0
}

/// Writes one record about a socket's own end, if its kind is wanted. Not inlined: no state of the verifier's is
/// multiplied.
#[inline(never)]
pub(crate) fn emit_local(context: &BtfTracePointContext, kind: RecordKind, socket: Socket) {
    let (Some(tcp), Some(local)) = (socket.tcp(), socket.local()) else {
        return;
    };
    emit(context, kind, local, 0, socket, tcp);
}

/// Writes one record about a socket, if its kind is wanted.
#[inline(always)]
pub(crate) fn emit(
    context: &BtfTracePointContext,
    kind: RecordKind,
    peer: [u8; 16],
    errno: u16,
    socket: Socket,
    tcp: TcpSocket,
) {
    if !is_wanted(kind) {
        return;
    }
    let Some(mut entry) = SIGHTINGS.reserve::<Record>(0) else {
        lost(Loss::RingFull);
        return;
    };
    // SAFETY: plain reading of a clock.
    let now = unsafe { bpf_ktime_get_ns() };
    let record = entry.write(Record {
        kernel_ns: now,
        socket_cookie: 0,
        netns_cookie: 0,
        cgroup_id: 0,
        peer,
        local: [0; 16],
        rtt_us: 0,
        snd_una: 0,
        peer_port: 0,
        local_port: 0,
        errno: errno as u8,
        in_user_ns: 0,
        kind: kind as u8,
        retransmits: 0,
    });
    socket.describe(tcp, record);
    match kind {
        RecordKind::Handshake => record.rtt_us = tcp.rtt_us(),
        RecordKind::Stalled => record.snd_una = tcp.oldest_unacknowledged().unwrap_or(0),
        // Of these the peer is the socket's own end.
        RecordKind::ListenerClosed | RecordKind::ListenerOpened | RecordKind::Home => {
            record.peer_port = record.local_port;
        }
        _ => {}
    }
    if aya_log_ebpf::macro_support::level_enabled(aya_log_ebpf::macro_support::Level::Debug) {
        log(record);
    }
    let urgency = urgency(kind);
    if HAVE_DOORBELLS.load() != 0 && urgency == Urgency::Urgent {
        entry.submit(u64::from(BPF_RB_NO_WAKEUP));
        if is_due(now) {
            ring(context);
        }
    } else {
        entry.submit(wake_up(urgency, now));
    }
}

/// Rings this processor's doorbell; wakes the reader where that fails (a processor that came later, a thread that does not
/// answer).
#[inline(always)]
fn ring(context: &BtfTracePointContext) {
    let mut byte = 0_u8;
    // SAFETY: the map is a perf event array, and the byte outlives the call.
    let failed = unsafe {
        bpf_perf_event_output(
            context.as_ptr(),
            (&raw const DOORBELLS).cast_mut().cast(),
            BPF_F_CURRENT_CPU,
            (&raw mut byte).cast(),
            1,
        )
    } != 0;
    if failed && let Some(nothing) = SIGHTINGS.reserve::<u64>(0) {
        nothing.discard(u64::from(BPF_RB_FORCE_WAKEUP));
    }
}

/// Counts a record that was not delivered.
#[inline(always)]
pub(crate) fn lost(loss: Loss) {
    // SAFETY: plain reading of a number.
    let processor = unsafe { bpf_get_smp_processor_id() };
    if let Some(row) = LOSSES.get_ptr_mut(processor) {
        // An atomic addition, which the compiler offers for no target without compare-and-swap: a program that interrupts
        // this one must not cost a count.
        // SAFETY: the row is in the map, `loss` is below its length.
        unsafe {
            let count: *mut u64 = row.cast::<u64>().add(loss as usize);
            asm!("lock *(u64 *)({count} + 0) += {one}", count = in(reg) count, one = in(reg) 1_u64);
        }
    }
}

/// The flag a record is committed with.
#[inline(always)]
fn wake_up(urgency: Urgency, now: u64) -> u64 {
    let wake = match (READER_AWAKE.get(0), urgency) {
        (Some(0) | None, Urgency::Idle) => half_full(),
        (Some(0) | None, _) => true,
        (Some(_), Urgency::Urgent) => is_due(now),
        (Some(_), _) => false,
    };
    u64::from(if wake { BPF_RB_FORCE_WAKEUP } else { BPF_RB_NO_WAKEUP })
}

/// Whether this CPU may wake an awake reader, and if so notes that it does.
#[inline(always)]
fn is_due(now: u64) -> bool {
    let Some(last) = LAST_URGENT.get_ptr_mut(0) else {
        return true;
    };
    // SAFETY: this CPU's own entry; a program that interrupts this one costs at most one wake-up more.
    unsafe {
        let due = now.wrapping_sub(*last) >= URGENT_SPACING_NS;
        if due {
            *last = now;
        }
        due
    }
}

#[inline(always)]
fn half_full() -> bool {
    SIGHTINGS.query(u64::from(BPF_RB_AVAIL_DATA)) >= SIGHTINGS.query(u64::from(BPF_RB_RING_SIZE)) / 2
}

#[inline(never)]
fn log(record: &Record) {
    debug!(
        (), // The place of a context, which the logger does not look at.
        "kind {} peer {:i}:{} errno {} socket {}",
        record.kind,
        record.peer,
        record.peer_port,
        record.errno,
        record.socket_cookie
    );
}
