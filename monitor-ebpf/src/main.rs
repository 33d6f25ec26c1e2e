//! The kernel half's programs: what the kernel shows at its trace points, made into records.
//!
//! Each hook filters the cheapest way first: the transition (the arguments alone), the network namespace, the watch map.
//! Whatever is left is written to the ring buffer by [`emit`].
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]
#![expect(
    unsafe_code,
    reason = "kernel memory is read through raw pointers; the kernel's verifier checks every one"
)]

mod cgroup;
mod emit;
mod errno;
mod error_report;
mod globals;
mod listener;
mod retransmit;
mod socket;
mod stalled;
mod state;
mod watch;

/// A program that can panic does not load: this is never called.
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

// The helpers that read kernel memory are open to GPL-compatible programs only.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
