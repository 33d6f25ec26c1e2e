//! What somebody tries who has taken a process over: each call in a form that harms nothing where it is allowed.

use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::Command;

use rustix::net::{AddressFamily, SocketType, socket};

/// Commands and a program type of `bpf(2)` (`linux/bpf.h`).
const MAP_CREATE: i64 = 0;
const PROG_LOAD: i64 = 5;
const PROG_GET_NEXT_ID: i64 = 11;
const SOCKET_FILTER: u32 = 1;

/// Never the number of a process.
const NO_ID: i64 = 0x7fff_ffff;

/// The name of each, and the error it ends with; 0 where it succeeds.
pub(crate) fn attempts() -> Vec<(&'static str, i32)> {
    let own = i64::from(std::process::id());
    let mut attempts = vec![
        ("load a program", load_program()),
        ("create a map", call(libc::SYS_bpf, [MAP_CREATE, 0, 0])),
        ("list programs", call(libc::SYS_bpf, [PROG_GET_NEXT_ID, 0, 1])),
        ("run a program", errno(Command::new("/bin/true").status().map(drop))),
        ("replace this program", call(libc::SYS_execve, [0, 0, 0])),
        (
            "make a datagram socket",
            errno(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).map(drop)),
        ),
        (
            "make a netlink socket",
            make_socket(AddressFamily::NETLINK, SocketType::RAW),
        ),
        (
            "make an IPv6 socket",
            make_socket(AddressFamily::INET6, SocketType::STREAM),
        ),
        (
            "connect to another daemon",
            errno(UnixStream::connect("/does/not/exist").map(drop)),
        ),
        ("trace", call(libc::SYS_ptrace, [0xffff, 0, 0])),
        ("read memory", call(libc::SYS_process_vm_readv, [own, 0, 0])),
        ("signal", call(libc::SYS_kill, [own, 0, 0])),
        (
            "signal a thread of another process",
            call(libc::SYS_tgkill, [NO_ID, NO_ID, 0]),
        ),
        ("limit another process", call(libc::SYS_prlimit64, [own, 7, 0])),
        ("enter a namespace", call(libc::SYS_setns, [-1, 0, 0])),
        ("leave a namespace", call(libc::SYS_unshare, [1, 0, 0])),
        ("make a keyring", call(libc::SYS_keyctl, [0xffff, 0, 0])),
        ("change a mode", call(libc::SYS_fchmod, [-1, 0, 0])),
        (
            "change the personality",
            call(libc::SYS_personality, [0xffff_ffff, 0, 0]),
        ),
    ];
    if cfg!(target_arch = "x86_64") {
        attempts.push((
            "trace through x32",
            call(libc::SYS_ptrace | 0x4000_0000, [0xffff, 0, 0]),
        ));
    }
    attempts
}

fn errno(result: io::Result<()>) -> i32 {
    result.err().map_or(0, |error| error.raw_os_error().unwrap_or(-1))
}

fn make_socket(family: AddressFamily, kind: SocketType) -> i32 {
    errno(socket(family, kind, None).map(drop).map_err(Into::into))
}

#[expect(unsafe_code, reason = "no crate makes calls that are wrong on purpose")]
fn call(number: i64, [a, b, c]: [i64; 3]) -> i32 {
    // SAFETY: none of these calls is given the address of anything: the arguments are numbers, and null pointers which the
    // kernel refuses or takes for "nothing".
    let result = unsafe { libc::syscall(number, a, b, c, 0, 0, 0) };
    if result < 0 {
        errno(Err(io::Error::last_os_error()))
    } else {
        0
    }
}

/// The shortest program there is, one that any process with `CAP_BPF` may load: `return 0`.
#[expect(unsafe_code, reason = "no crate loads a program without a file to load it from")]
fn load_program() -> i32 {
    #[repr(C)]
    struct Attributes {
        kind: u32,
        count: u32,
        instructions: u64,
        licence: u64,
    }
    // r0 = 0; exit
    let instructions: [u64; 2] = [0xb7, 0x95];
    let attributes = Attributes {
        kind: SOCKET_FILTER,
        count: 2,
        instructions: instructions.as_ptr().addr() as u64,
        licence: c"GPL".as_ptr().addr() as u64,
    };
    let size = size_of::<Attributes>();
    // SAFETY: the kernel reads `size` bytes of `attributes`, and what they point to, all of which outlives the call.
    let descriptor = unsafe { libc::syscall(libc::SYS_bpf, PROG_LOAD, &raw const attributes, size) };
    match i32::try_from(descriptor) {
        Ok(descriptor) if descriptor >= 0 => {
            // SAFETY: a descriptor the kernel has just made for us alone.
            drop(unsafe { OwnedFd::from_raw_fd(descriptor) });
            0
        }
        _ => errno(Err(io::Error::last_os_error())),
    }
}
