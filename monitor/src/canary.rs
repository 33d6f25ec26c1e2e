//! The canary, beside the path: a dial that must be refused, to see that what the kernel sees still arrives here. Silence
//! of the kernel half looks like peace; only what is known to have happened tells them apart.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::{AsRawFd, RawFd};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use crate::clock;
use crate::hub::Hub;
use crate::kernel::inside_netns;
use crate::sighting::{Observation, Sighting, SocketCookie};

/// How often it sings, by default.
pub const INTERVAL: Duration = Duration::from_secs(30);

/// How often it is asked again after it was not heard.
pub const AGAIN: Duration = Duration::from_secs(1);

/// How long its refusal may take to arrive.
pub const PATIENCE: Duration = Duration::from_millis(100);

/// How often it is asked at the start, on a machine that is busy starting.
const ATTEMPTS: u32 = 10;

/// A loopback address of its own, so that looking at it shows nobody else's traffic.
const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 111, 98, 105));

/// A dial that must be refused, again and again, on one socket.
#[derive(Debug)]
pub struct Canary {
    socket: Socket,
    /// Holds the port, and does not listen on it.
    _closed: Socket,
    peer: SocketAddr,
    ear: Arc<Ear>,
}

/// What waits for the refusal, among all that is seen.
#[derive(Debug)]
pub struct Ear {
    socket: SocketCookie,
    peer: SocketAddr,
    heard: Notify,
}

impl Ear {
    /// Takes in a sighting.
    pub fn hear(&self, sighting: &Sighting) {
        if sighting.socket == self.socket && sighting.peer == self.peer && sighting.what == Observation::Refused {
            self.heard.notify_one();
        }
    }

    /// The address to be looked at as long as this lives.
    #[must_use]
    pub fn ip(&self) -> IpAddr {
        self.peer.ip()
    }
}

/// The canary cannot sing.
#[derive(Debug, thiserror::Error)]
pub enum CanaryError {
    /// Its sockets cannot be made.
    #[error(
        "no socket on the loopback address {ADDRESS}, by which it is seen that the kernel half works: is `lo` up, is AF_INET allowed?"
    )]
    Socket(#[source] io::Error),
    /// Its dial does not begin.
    #[error("the dial to {0}, by which it is seen that the kernel half works, does not begin: is `lo` up?")]
    Dial(SocketAddr, #[source] io::Error),
    /// It is not heard.
    #[error(
        "the programs are attached and show nothing: a dial to {0}, where nobody listens, was not seen to be refused within \
         {PATIENCE:?}; does a firewall drop packets on `lo`? `obit doctor` looks for other reasons"
    )]
    Unheard(SocketAddr),
}

impl Canary {
    /// Makes its sockets, in the network namespace at `netns` or in that of this process.
    ///
    /// # Errors
    /// [`CanaryError::Socket`]
    pub fn new(netns: Option<&Path>) -> Result<Self, CanaryError> {
        let (closed, socket) = inside_netns(netns, sockets).map_err(CanaryError::Socket)?;
        let address = || {
            let address = closed.local_addr()?.as_socket();
            Ok((address.ok_or(io::ErrorKind::AddrNotAvailable)?, socket.cookie()?))
        };
        let (peer, cookie) = address().map_err(CanaryError::Socket)?;
        let ear = Arc::new(Ear {
            socket: SocketCookie(cookie),
            peer,
            heard: Notify::new(),
        });
        Ok(Self {
            socket,
            _closed: closed,
            peer,
            ear,
        })
    }

    /// What waits for its refusals; to be told of every sighting.
    #[must_use]
    pub fn ear(&self) -> Arc<Ear> {
        Arc::clone(&self.ear)
    }

    /// The descriptor it dials with, the only one of this process that ever does.
    #[must_use]
    pub fn descriptor(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    /// Waits until it is heard for the first time.
    ///
    /// # Errors
    /// It is not heard, after several attempts.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn prove(&self) -> Result<(), CanaryError> {
        for _ in 1..ATTEMPTS {
            if self.sing().await.is_ok() {
                return Ok(());
            }
        }
        self.sing().await
    }

    /// Sings once in each interval for as long as it is polled, and tells the hub whether it is heard.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn keep_singing(&self, hub: &Hub, interval: Duration) -> Infallible {
        let mut deaf = false;
        loop {
            sleep(if deaf { AGAIN.min(interval) } else { interval }).await;
            let before = clock::monotonic();
            match self.sing().await {
                Ok(()) => {
                    hub.note_hearing(clock::monotonic(), None);
                    if deaf {
                        tracing::info!("the kernel half is heard again");
                    }
                    deaf = false;
                }
                Err(error) => {
                    hub.note_hearing(clock::monotonic(), Some(before));
                    if !deaf {
                        tracing::error!(error = &error as &dyn std::error::Error, "deaf: subscribers are told");
                    }
                    deaf = true;
                }
            }
        }
    }

    async fn sing(&self) -> Result<(), CanaryError> {
        self.dial().map_err(|error| CanaryError::Dial(self.peer, error))?;
        let heard = timeout(PATIENCE, self.ear.heard.notified()).await;
        heard.map_err(|_| CanaryError::Unheard(self.peer))
    }

    /// Begins to dial. The refusal of the dial before is still to be taken from the socket.
    fn dial(&self) -> io::Result<()> {
        for _ in 0..2 {
            match self.socket.connect(&self.peer.into()) {
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                Err(error) if matches!(error.raw_os_error(), Some(libc::EINPROGRESS | libc::EALREADY)) => return Ok(()),
                other => return other,
            }
        }
        Ok(())
    }
}

/// One that holds a port, and one to dial it with.
fn sockets() -> io::Result<(Socket, Socket)> {
    let closed = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    closed.bind(&SocketAddr::new(ADDRESS, 0).into())?;
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    // It shall never lead anywhere else.
    socket.bind_device(Some(b"lo"))?;
    Ok((closed, socket))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sighting::{MonotonicNs, NetnsCookie};

    fn sighting(canary: &Canary, what: Observation) -> Sighting {
        Sighting {
            in_user_ns: false,
            at: MonotonicNs(1),
            netns: NetnsCookie(1),
            socket: canary.ear.socket,
            peer: canary.peer,
            what,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn it_dials_again_and_again_on_one_socket_and_is_heard_by_its_own_refusal_alone() {
        let canary = Canary::new(None).unwrap();
        for _ in 0..3 {
            let refused = sighting(&canary, Observation::Refused);
            canary.ear.hear(&sighting(&canary, Observation::SynStart));
            canary.ear.hear(&Sighting {
                socket: SocketCookie(refused.socket.0 + 1),
                ..refused
            });
            assert!(matches!(canary.sing().await, Err(CanaryError::Unheard(peer)) if peer == canary.peer));
            let (sung, ()) = tokio::join!(canary.sing(), async { canary.ear.hear(&refused) });
            sung.unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn never_heard_it_proves_nothing() {
        let canary = Canary::new(None).unwrap();
        let error = canary.prove().await.unwrap_err().to_string();
        assert!(
            error.contains("127.111.98.105") && error.contains("obit doctor"),
            "{error}"
        );
    }

    #[test]
    fn in_a_namespace_that_is_none_it_has_no_sockets() {
        assert!(matches!(
            Canary::new(Some(Path::new("/dev/null"))),
            Err(CanaryError::Socket(_))
        ));
    }
}
