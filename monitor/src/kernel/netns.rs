//! Names a network namespace as the kernel half does: by its cookie.

use std::fs::File;
use std::io;
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use socket2::{Domain, Socket, Type};

use crate::sighting::NetnsCookie;

/// The cookie of a network namespace: of the one behind `path` (`/run/netns/x`, `/proc/1/ns/net`), or of this process.
/// Blocks for the time of a few system calls.
///
/// # Errors
/// What the kernel said: the path cannot be opened or is no network namespace, entering it takes `CAP_SYS_ADMIN`, or the
/// kernel is older than 5.14 (`ENOPROTOOPT`).
pub fn netns_cookie(path: Option<&Path>) -> io::Result<NetnsCookie> {
    inside_netns(path, own_cookie)
}

/// Does something in the network namespace behind `path`, or in that of this process.
///
/// # Errors
/// What the kernel said: the path cannot be opened or is no network namespace, or entering it takes `CAP_SYS_ADMIN`; and
/// what `work` says.
pub(crate) fn inside_netns<T: Send + 'static>(
    path: Option<&Path>,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let Some(path) = path else { return work() };
    let namespace = File::open(path)?;
    // A thread is in a namespace for itself, and this one ends there: nobody else ever runs on it.
    let inside = std::thread::Builder::new()
        .name("obit-netns".to_owned())
        .spawn(move || {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
            work()
        })?;
    inside
        .join()
        .map_err(|_| io::Error::other("the thread in the namespace panicked"))?
}

/// The cookie of this thread's namespace.
fn own_cookie() -> io::Result<NetnsCookie> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    cookie_of(&socket).map(NetnsCookie)
}

#[expect(unsafe_code, reason = "no crate offers SO_NETNS_COOKIE")]
pub(crate) fn cookie_of(socket: &Socket) -> io::Result<u64> {
    let mut cookie: u64 = 0;
    let mut length = libc::socklen_t::try_from(size_of::<u64>()).map_err(io::Error::other)?;
    // SAFETY: the kernel writes at most `length` bytes to `cookie`, which has that many.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_NETNS_COOKIE,
            (&raw mut cookie).cast(),
            &raw mut length,
        )
    };
    if result == 0 {
        Ok(cookie)
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_in_a_namespace_with_a_cookie_and_stays_in_it() {
        let own = netns_cookie(None).unwrap();
        assert!(own.is_known());
        assert_eq!(netns_cookie(None).unwrap(), own);
    }

    #[test]
    fn a_path_that_is_no_namespace_is_an_error() {
        assert!(netns_cookie(Some(Path::new("/does/not/exist"))).is_err());
        assert!(netns_cookie(Some(Path::new("/dev/null"))).is_err());
    }
}
