//! Network namespaces that a user namespace owns: anybody can make one, and give it any address.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use obit_monitor::kernel::Options;
use obit_monitor::sighting::Observation;
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with};
use rustix::thread::{UnshareFlags, unshare_unsafe};

use crate::place::Place;
use crate::watcher::{Watcher, dial, what};

/// Where nobody listens, in any namespace.
const CLOSED: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(127, 7, 7, 8), 4_040);

#[test]
fn a_sighting_tells_whether_a_user_namespace_owns_its_network_namespace() {
    let place = Place::new();
    let watcher = Watcher::with(&Options::default(), &[(*CLOSED.ip()).into()]);
    place.run(|| dial(CLOSED.into())).unwrap_err();
    assert_eq!(refused_from_user_namespace(CLOSED), Some(libc::ECONNREFUSED));
    let seen = watcher.all(&place);
    assert_eq!(what(&seen), [Observation::SynStart, Observation::Refused].repeat(2));
    let owned: Vec<_> = seen.iter().map(|sighting| sighting.in_user_ns).collect();
    assert_eq!(owned, [false, false, true, true]);
    assert_ne!(seen[0].netns, seen[2].netns);
}

/// Dials from a network namespace with loopback alone, which a user namespace of its own owns; both are gone afterwards. What the
/// kernel said.
#[expect(
    unsafe_code,
    reason = "only a process with a single thread can leave its user namespace"
)]
fn refused_from_user_namespace(peer: SocketAddrV4) -> Option<i32> {
    let mut child = Command::new("true");
    // SAFETY: between fork and exec, which is never come to: system calls alone, and no memory is allocated.
    unsafe { child.pre_exec(move || Err(dialled(peer))) };
    child.spawn().err().and_then(|error| error.raw_os_error())
}

/// The error of the dial, or of the first step on the way there that failed.
fn dialled(peer: SocketAddrV4) -> io::Error {
    let dialled = leave().and_then(|()| {
        let socket = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        loopback_up(&socket)?;
        Ok(connect(&socket, &peer)?)
    });
    dialled.err().unwrap_or_else(|| io::ErrorKind::Other.into())
}

#[expect(unsafe_code, reason = "unsafe for the flags that part file descriptors and memory")]
fn leave() -> io::Result<()> {
    // SAFETY: neither kind of namespace has them.
    Ok(unsafe { unshare_unsafe(UnshareFlags::NEWUSER | UnshareFlags::NEWNET) }?)
}

#[expect(
    unsafe_code,
    reason = "no crate that is used here sets the flags of a network device"
)]
fn loopback_up(socket: &OwnedFd) -> io::Result<()> {
    // SAFETY: a request of zeroes is one, and outlives the call, which reads it alone.
    let result = unsafe {
        let mut request: libc::ifreq = std::mem::zeroed();
        for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
            *to = from.cast_signed();
        }
        request.ifr_ifru.ifru_flags = libc::c_short::try_from(libc::IFF_UP).unwrap_or_default();
        libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request)
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
