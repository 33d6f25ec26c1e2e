//! Dials: TCP connects that stop at once when the feed tells that the peer is dead. The default bound on a SYN nobody
//! answers is the kernel's 127 s.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd as _;
use std::sync::Arc;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpSocket, TcpStream};

use super::Claim;
use super::tcp::{GuardedTcp, TcpIo};
use crate::feed::{Feed, Link, Registration};
use crate::{PeerDead, clock};

/// `TCP_RTO_MIN_US` (include/uapi/linux/tcp.h, Linux 6.15).
const TCP_RTO_MIN_US: libc::c_int = 45;

/// The first retransmission 60 ms after an unanswered write and not 210 ms: the monitor sees it sooner. 50 ms is above the
/// peer's delayed acknowledgements; no spurious retransmission in 20 000 connection-seconds.
const RTO_MIN_US: libc::c_int = 50_000;

/// A living kernel answers a probe within a round trip; one lost probe or two are no death.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(1);
const KEEP_ALIVE_PROBES: u32 = 3;

#[expect(clippy::cast_possible_truncation, reason = "four bytes")]
const C_INT_BYTES: libc::socklen_t = size_of::<libc::c_int>() as libc::socklen_t;

/// How to dial. `TCP_NODELAY` is always set: without it a small call waits 40 ms for an acknowledgement.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DialOptions {
    /// How long a dial may take; `None` leaves it to the kernel. Default: 5 s.
    pub connect_timeout: Option<Duration>,
    /// After this long without a segment, TCP keep-alive asks the peer's kernel, at most three times a second apart; `None`
    /// never asks. Default: 5 s.
    ///
    /// The silence rule judges what was sent and not acknowledged. This is for the rest: a call whose request was
    /// acknowledged before the peer's node was lost would otherwise wait for ever, if nothing else is sent to it. It ends
    /// after 8 s. [`Client`](crate::Client) asks earlier, after 1 s, while calls wait.
    pub keep_alive: Option<Duration>,
    /// Lowers the kernel's shortest retransmission timeout to 50 ms where it can be (Linux 6.15). Default: true.
    pub early_retransmit: bool,
}

impl Default for DialOptions {
    fn default() -> Self {
        Self {
            connect_timeout: Some(Duration::from_secs(5)),
            keep_alive: Some(Duration::from_secs(5)),
            early_retransmit: true,
        }
    }
}

/// Why a dial failed. In every case nothing was sent: what was to be sent may go elsewhere.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DialError {
    /// Nobody listens on that address and port.
    #[error("{peer} refused the connection")]
    Refused {
        /// The peer.
        peer: SocketAddr,
    },
    /// There is no way to the address.
    #[error("there is no route to {peer}")]
    Unreachable {
        /// The peer.
        peer: SocketAddr,
    },
    /// No answer within the options' `connect_timeout`, or the kernel gave up.
    #[error("{peer} did not answer in time")]
    TimedOut {
        /// The peer.
        peer: SocketAddr,
    },
    /// The feed told that the peer is dead while it was being dialled.
    #[error("{0}")]
    PeerDead(#[from] PeerDead),
    /// Anything else; most often this host's own trouble, such as a lack of descriptors.
    #[error("cannot dial {peer}: {source}")]
    Io {
        /// The peer.
        peer: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

impl DialError {
    /// Whom the dial was for.
    #[must_use]
    pub fn peer(&self) -> SocketAddr {
        match self {
            Self::Refused { peer } | Self::Unreachable { peer } | Self::TimedOut { peer } | Self::Io { peer, .. } => {
                *peer
            }
            Self::PeerDead(dead) => dead.peer,
        }
    }

    fn from_io(peer: SocketAddr, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::ConnectionRefused => Self::Refused { peer },
            io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => Self::Unreachable { peer },
            io::ErrorKind::TimedOut => Self::TimedOut { peer },
            _ => Self::Io { peer, source },
        }
    }
}

/// Connects to `peer`, under the eyes of `feed` from the first SYN to the last byte.
///
/// The dial ends with [`DialError::PeerDead`] the moment a death of the peer reaches the feed that the kernel saw after the
/// dial began, or one that tells that nothing at the address answers. A death known before does not keep anyone from
/// dialling: whoever has a choice asks [`PeerWatch::health`](crate::PeerWatch::health) first.
///
/// # Errors
///
/// See [`DialError`].
///
/// # Cancel safety
///
/// Dropping the future ends the dial at once and leaves nothing in the kernel.
pub async fn dial(feed: &Feed, peer: SocketAddr, options: &DialOptions) -> Result<GuardedTcp, DialError> {
    let birth_ns = clock::monotonic_ns();
    let failed = |source| DialError::from_io(peer, source);
    let socket = open(peer, options).map_err(failed)?;
    let cookie = SockRef::from(&socket).cookie().ok();
    let claim = cookie.map(Claim::new);
    let link = Arc::new(Link::new(obit_protocol::normalise(peer), birth_ns));
    let registration = Registration::new(feed, link.clone(), cookie);
    let stream = tokio::select! {
        // A death that is known is told, even if the handshake came through at the same moment.
        biased;
        cause = link.kill_switch().killed() => return Err(cause.into()),
        connected = connect(socket, peer, options.connect_timeout) => connected.map_err(failed)?,
    };
    let io = TcpIo::new(stream, peer, cookie, registration, claim).map_err(failed)?;
    Ok(io.guarded())
}

async fn connect(socket: TcpSocket, peer: SocketAddr, timeout: Option<Duration>) -> io::Result<TcpStream> {
    let connecting = socket.connect(peer);
    match timeout {
        Some(timeout) => tokio::time::timeout(timeout, connecting).await?,
        None => connecting.await,
    }
}

fn open(peer: SocketAddr, options: &DialOptions) -> io::Result<TcpSocket> {
    let socket = match peer {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_nodelay(true)?;
    if let Some(pause) = options.keep_alive {
        let keep_alive = TcpKeepalive::new()
            .with_time(pause)
            .with_interval(KEEP_ALIVE_INTERVAL)
            .with_retries(KEEP_ALIVE_PROBES);
        SockRef::from(&socket).set_tcp_keepalive(&keep_alive)?;
    }
    if options.early_retransmit {
        retransmit_early(&socket);
    }
    Ok(socket)
}

/// Best effort: a kernel without the option retransmits later, and the silence rule does not depend on it.
#[expect(unsafe_code, reason = "no library offers TCP_RTO_MIN_US")]
fn retransmit_early(socket: &TcpSocket) {
    let us: libc::c_int = RTO_MIN_US;
    // SAFETY: the option's value is one int, which `us` is for the whole call; the descriptor is open.
    _ = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            TCP_RTO_MIN_US,
            (&raw const us).cast(),
            C_INT_BYTES,
        )
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_to_dial_with_sends_small_writes_at_once_and_takes_its_options() {
        let mut options = DialOptions::default();
        let peer = "127.0.0.1:80".parse().unwrap();
        let socket = open(peer, &options).unwrap();
        assert!(socket.nodelay().unwrap());
        assert!(SockRef::from(&socket).keepalive().unwrap());
        assert_eq!(
            SockRef::from(&socket).tcp_keepalive_time().unwrap(),
            Duration::from_secs(5)
        );
        options.keep_alive = None;
        let socket = open(peer, &options).unwrap();
        assert!(!SockRef::from(&socket).keepalive().unwrap());
    }

    #[test]
    fn what_the_system_says_of_a_dial_is_told_by_name() {
        let peer = "198.18.0.1:80".parse().unwrap();
        let told = |number| DialError::from_io(peer, io::Error::from_raw_os_error(number));
        assert!(matches!(told(libc::ECONNREFUSED), DialError::Refused { .. }));
        assert!(matches!(told(libc::EHOSTUNREACH), DialError::Unreachable { .. }));
        assert!(matches!(told(libc::ENETUNREACH), DialError::Unreachable { .. }));
        assert!(matches!(told(libc::ETIMEDOUT), DialError::TimedOut { .. }));
        assert!(matches!(told(libc::EMFILE), DialError::Io { .. }));
    }
}
