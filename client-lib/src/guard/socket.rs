//! The process's own sockets, by their numbers. They belong to others, who may close them and open others under the same
//! number at any moment: what is asked by a number only reads, and what is done is done to a duplicate that was looked at.

use std::fs::File;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsRawFd as _, FromRawFd as _, IntoRawFd as _, OwnedFd, RawFd};
use std::time::Duration;

use socket2::SockRef;

use crate::connection::sockopt;

/// States of the kernel's TCP (include/net/tcp_states.h).
mod state {
    pub(super) const ESTABLISHED: u8 = 1;
    pub(super) const SYN_SENT: u8 = 2;
    pub(super) const FIN_WAIT1: u8 = 4;
    pub(super) const FIN_WAIT2: u8 = 5;
    pub(super) const CLOSE_WAIT: u8 = 8;
    pub(super) const LISTEN: u8 = 10;
}

#[expect(clippy::cast_possible_truncation, reason = "a few bytes")]
const SOCKADDR_BYTES: libc::socklen_t = size_of::<libc::sockaddr>() as libc::socklen_t;

/// What a socket is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// Nothing that is TCP over IP: never a connection to a peer.
    Foreign,
    /// TCP, with nobody at the other end.
    Idle,
    /// Waiting for others to dial this port.
    Listening {
        /// The port.
        port: u16,
    },
    /// A SYN waits for its answer.
    Dialling {
        /// Whom it is for.
        peer: SocketAddr,
    },
    /// A connection.
    Open {
        /// The other end, IPv4-mapped addresses as IPv4.
        peer: SocketAddr,
        /// The port at this end.
        port: u16,
        /// The connection is at least this old.
        age: Duration,
    },
}

/// The numbers of every file this process has open.
pub(super) fn descriptors() -> io::Result<Vec<RawFd>> {
    let entries = std::fs::read_dir("/proc/self/fd")?;
    Ok(entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect())
}

/// What the socket is doing.
pub(super) fn look(socket: RawFd) -> io::Result<Look> {
    let (domain, protocol) = sockopt::kind(socket)?;
    // A path of Multipath TCP has a protocol of its own, and its end is not the connection's.
    if !matches!(domain, libc::AF_INET | libc::AF_INET6) || protocol != libc::IPPROTO_TCP {
        return Ok(Look::Foreign);
    }
    let info = sockopt::tcp_info(socket)?;
    let peer = || sockopt::peer(socket, domain).map(obit_protocol::normalise);
    let port = || sockopt::local(socket).map(|local| local.port());
    Ok(match info.tcpi_state {
        state::LISTEN => Look::Listening { port: port()? },
        state::SYN_SENT => Look::Dialling { peer: peer()? },
        state::ESTABLISHED | state::FIN_WAIT1 | state::FIN_WAIT2 | state::CLOSE_WAIT => Look::Open {
            peer: peer()?,
            port: port()?,
            age: at_least_old(info.tcpi_last_data_sent, info.tcpi_last_data_recv),
        },
        _ => Look::Idle,
    })
}

/// The least age of a connection, by how long ago it last sent and received data, in milliseconds: both clocks start with
/// its establishment. They count the kernel's ticks, none of which is longer than 10 ms.
fn at_least_old(since_sent: u32, since_received: u32) -> Duration {
    const TICK: Duration = Duration::from_millis(10);
    let idle = Duration::from_millis(since_sent.max(since_received).into());
    idle.saturating_sub(TICK)
}

/// A descriptor of our own for a socket of somebody else's: whatever becomes of his, this one is that socket's.
#[derive(Debug)]
pub(super) struct Duplicate(OwnedFd);

impl Duplicate {
    /// The socket with this cookie, if that is what the number stands for.
    pub(super) fn of(number: RawFd, cookie: u64) -> Option<Self> {
        // SAFETY: no memory is involved. A number that is nobody's is answered with an error.
        #[expect(unsafe_code, reason = "the libraries ask for a descriptor that is known to be open")]
        let duplicate = unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 3) };
        if duplicate < 0 {
            return None;
        }
        #[expect(unsafe_code, reason = "a descriptor just made")]
        // SAFETY: the kernel has just opened it, for us alone.
        let duplicate = unsafe { OwnedFd::from_raw_fd(duplicate) };
        if sockopt::cookie(duplicate.as_raw_fd()).is_ok_and(|found| found == cookie) {
            return Some(Self(duplicate));
        }
        let other = File::from(duplicate);
        if other.metadata().is_ok_and(|metadata| metadata.is_file()) {
            // To close any descriptor of a file is to give up the process's record locks on it (fcntl(2)). One number lost,
            // when a file is opened under the number of a socket that was closed this very moment, is the lesser harm.
            _ = other.into_raw_fd();
        }
        None
    }

    pub(super) fn look(&self) -> io::Result<Look> {
        look(self.0.as_raw_fd())
    }

    /// Ends the connection, or the dial, for everyone who holds it: what they wait for fails, and the kernel sends a reset
    /// and retransmits nothing.
    ///
    /// Where the kernel refuses that (TLS in the kernel; before Linux 6.6, a thread that waits), the socket is shut down. Not
    /// at first: a reader takes that for the end of the stream, and half an answer for a whole one.
    pub(super) fn end(&self) -> io::Result<()> {
        let nobody = libc::sockaddr {
            sa_family: SA_UNSPEC,
            sa_data: [0; 14],
        };
        #[expect(unsafe_code, reason = "no library dissolves a TCP connection")]
        // SAFETY: `nobody` is a valid address of this length for the whole call.
        let dissolved = unsafe { libc::connect(self.0.as_raw_fd(), &raw const nobody, SOCKADDR_BYTES) };
        match dissolved {
            0 => Ok(()),
            _ => SockRef::from(&self.0).shutdown(Shutdown::Both),
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "zero")]
const SA_UNSPEC: libc::sa_family_t = libc::AF_UNSPEC as libc::sa_family_t;

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::os::unix::net::UnixStream;

    use socket2::{Domain, Protocol, Socket, Type};

    use super::*;

    fn pair() -> (TcpListener, TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let far = listener.accept().unwrap().0;
        (listener, near, far)
    }

    fn cookie(socket: &impl std::os::fd::AsRawFd) -> u64 {
        sockopt::cookie(socket.as_raw_fd()).unwrap()
    }

    #[test]
    fn a_socket_is_told_by_what_it_is_doing() {
        let (listener, near, _far) = pair();
        let (address, local) = (listener.local_addr().unwrap(), near.local_addr().unwrap());
        let port = address.port();
        assert_eq!(look(listener.as_raw_fd()).unwrap(), Look::Listening { port });
        assert!(matches!(
            look(near.as_raw_fd()).unwrap(),
            Look::Open { peer, port, .. } if peer == address && port == local.port()
        ));
        let fresh = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        assert_eq!(look(fresh.as_raw_fd()).unwrap(), Look::Idle);
        let (udp, (unix, _)) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UnixStream::pair().unwrap());
        udp.connect(address).unwrap();
        assert_eq!(look(udp.as_raw_fd()).unwrap(), Look::Foreign);
        assert_eq!(look(unix.as_raw_fd()).unwrap(), Look::Foreign);
        // SO_PROTOCOL tells the two of them apart where a kernel has both.
        if let Ok(multipath) = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::MPTCP)) {
            assert_eq!(look(multipath.as_raw_fd()).unwrap(), Look::Foreign);
        }
        let file = File::open("/proc/self/exe").unwrap();
        assert!(sockopt::cookie(file.as_raw_fd()).is_err());
    }

    #[test]
    fn a_mapped_address_is_told_as_ipv4() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mapped = TcpStream::connect(("::ffff:127.0.0.1", address.port())).unwrap();
        assert!(mapped.peer_addr().unwrap().is_ipv6());
        assert!(matches!(look(mapped.as_raw_fd()).unwrap(), Look::Open { peer, .. } if peer == address));
    }

    #[test]
    fn a_connection_is_never_said_to_be_older_than_it_is() {
        assert_eq!(at_least_old(5, 9), Duration::ZERO);
        assert_eq!(at_least_old(300, 5_000), Duration::from_millis(4_990));
        let before = crate::clock::now();
        let (_listener, near, far) = pair();
        (&near).write_all(b"x").unwrap();
        for socket in [near, far] {
            let Look::Open { age, .. } = look(socket.as_raw_fd()).unwrap() else {
                panic!("it is open")
            };
            assert!(age <= crate::clock::now() - before);
        }
    }

    #[test]
    fn what_is_ended_fails_at_both_ends() {
        let (_listener, mut near, mut far) = pair();
        Duplicate::of(near.as_raw_fd(), cookie(&near)).unwrap().end().unwrap();
        for end in [&mut near, &mut far] {
            let error = end.read(&mut [0]).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        }
    }

    #[test]
    fn a_number_that_is_another_socket_s_is_left_alone() {
        let (_listener, near, far) = pair();
        let other = cookie(&near);
        assert!(Duplicate::of(near.as_raw_fd(), other).is_some());
        assert!(Duplicate::of(far.as_raw_fd(), other).is_none());
        assert!(Duplicate::of(RawFd::MAX, other).is_none());
        let file = File::open("/proc/self/exe").unwrap();
        assert!(Duplicate::of(file.as_raw_fd(), other).is_none());
    }

    #[test]
    fn record_locks_of_a_file_under_a_socket_s_number_are_kept() {
        let path = tempfile::NamedTempFile::new().unwrap();
        let lock = |file: &File, command| {
            let mut lock = libc::flock {
                l_type: i16::try_from(libc::F_WRLCK).unwrap(),
                l_whence: i16::try_from(libc::SEEK_SET).unwrap(),
                l_start: 0,
                l_len: 0,
                l_pid: 0,
            };
            #[expect(unsafe_code, reason = "the standard library has no record locks")]
            // SAFETY: `lock` is valid and writable for the call.
            let result = unsafe { libc::fcntl(file.as_raw_fd(), command, &raw mut lock) };
            assert_eq!(result, 0);
            lock.l_type
        };
        let file = File::options().write(true).open(path.path()).unwrap();
        lock(&file, libc::F_SETLK);
        assert!(Duplicate::of(file.as_raw_fd(), 1).is_none());
        // A lock of the open file conflicts with the process's own.
        let other = File::options().write(true).open(path.path()).unwrap();
        assert_eq!(lock(&other, libc::F_OFD_GETLK), i16::try_from(libc::F_WRLCK).unwrap());
    }
}
