//! A TCP connection under the feed's watch: a socket, its record of writes, and its tie to the feed.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::rt::{Read, ReadBuf, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::last_words::LastWords;
use super::probe::{Meter, SocketProbe, handshake_rtt};
use super::{Claim, Guarded, KillSwitch};
use crate::feed::{Ear, Registration};
use crate::{Health, Reason};

/// A TCP connection that ends when its peer dies; made by [`dial`](super::dial()).
pub type GuardedTcp = Guarded<TcpIo>;

/// What was heard so lately was heard after any SYN was sent that counts as not answered: nobody waits less than 20 ms for that.
const LATELY: Duration = Duration::from_millis(15);

/// How much is read at once of what a peer wrote before it reset the connection.
const AT_ONCE: usize = 4096;

/// The socket inside a [`GuardedTcp`]. Once killed it is closed with a reset, so that nothing of it lingers in the kernel
/// retransmitting to the dead.
pub struct TcpIo {
    stream: TokioIo<TcpStream>,
    meter: Arc<Meter>,
    facts: Arc<Facts>,
    registration: Registration,
    last_words: LastWords,
    /// Dropped after the stream.
    _claim: Option<Claim>,
}

#[derive(Debug)]
struct Facts {
    peer: SocketAddr,
    local: SocketAddr,
    cookie: Option<u64>,
    handshake_rtt: Option<Duration>,
}

/// What can be known of a connection, and done to it, while somebody else owns its I/O. Does not keep it open.
///
/// Under hyper-util's client it is found among the response's extensions.
#[derive(Clone)]
pub struct ConnectionHandle {
    facts: Arc<Facts>,
    link: Arc<crate::feed::Link>,
    meter: Arc<Meter>,
}

impl TcpIo {
    /// A stream just connected, under the registration its dial began with.
    pub(super) fn new(
        stream: TcpStream,
        peer: SocketAddr,
        cookie: Option<u64>,
        registration: Registration,
        claim: Option<Claim>,
    ) -> io::Result<Self> {
        let facts = Facts {
            peer,
            local: stream.local_addr()?,
            cookie,
            handshake_rtt: handshake_rtt(stream.as_fd()),
        };
        let meter = Arc::new(Meter::new(stream.as_fd()));
        let probe = SocketProbe::new(meter.clone());
        let hears = move || probe.heard_within(LATELY);
        registration.link().establish_with(Ear::new(hears));
        Ok(Self {
            meter,
            stream: TokioIo::new(stream),
            facts: Arc::new(facts),
            registration,
            last_words: LastWords::default(),
            _claim: claim,
        })
    }

    pub(super) fn guarded(self) -> GuardedTcp {
        let kill = self.registration.link().kill_switch().clone();
        Guarded::new(self, kill)
    }

    /// What whoever wrote is told.
    fn written(&mut self, asked: usize, result: io::Result<usize>) -> io::Result<usize> {
        match result {
            Ok(written) => {
                self.meter.wrote(written);
                Ok(written)
            }
            Err(error) => self.last_words.not_written(asked, error),
        }
    }

    fn handle(&self) -> ConnectionHandle {
        ConnectionHandle {
            facts: self.facts.clone(),
            link: self.registration.link().clone(),
            meter: self.meter.clone(),
        }
    }
}

impl Drop for TcpIo {
    fn drop(&mut self) {
        self.meter.close();
        if self.registration.link().kill_switch().is_killed() {
            // A FIN to the dead would be retransmitted for minutes from FIN_WAIT1. Failing is no loss.
            _ = SockRef::from(self.stream.inner()).set_linger(Some(Duration::ZERO));
        }
    }
}

impl fmt::Debug for TcpIo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TcpIo")
            .field("facts", &self.facts)
            .finish_non_exhaustive()
    }
}

impl Read for TcpIo {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, mut buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        if !self.last_words.is_awaited() || buf.remaining() == 0 {
            return Pin::new(&mut self.stream).poll_read(cx, buf);
        }
        let mut bytes = [0; AT_ONCE];
        let room = buf.remaining().min(AT_ONCE);
        let mut read = ReadBuf::new(bytes.get_mut(..room).unwrap_or_default());
        ready!(Pin::new(&mut self.stream).poll_read(cx, read.unfilled()))?;
        self.last_words.read(read.filled().len())?;
        buf.put_slice(read.filled());
        Poll::Ready(Ok(()))
    }
}

impl Write for TcpIo {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let result = ready!(Pin::new(&mut self.stream).poll_write(cx, buf));
        Poll::Ready(self.written(buf.len(), result))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.last_words.shut_down();
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, bufs));
        let asked = bufs.iter().map(|buf| buf.len()).sum();
        Poll::Ready(self.written(asked, result))
    }
}

impl Connection for TcpIo {
    fn connected(&self) -> Connected {
        self.stream.inner().connected().extra(self.handle())
    }
}

impl GuardedTcp {
    /// A handle that outlives the I/O's move into hyper.
    #[must_use]
    pub fn handle(&self) -> ConnectionHandle {
        self.get_ref().handle()
    }
}

impl ConnectionHandle {
    /// The peer, as dialled.
    #[must_use]
    pub fn peer(&self) -> SocketAddr {
        self.facts.peer
    }

    /// The address at this end.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.facts.local
    }

    /// `SO_COOKIE`: what the monitor calls this socket. `None` if the kernel did not tell.
    #[must_use]
    pub fn socket_cookie(&self) -> Option<u64> {
        self.facts.cookie
    }

    /// The round trip of the handshake, by the kernel's measure.
    #[must_use]
    pub fn handshake_rtt(&self) -> Option<Duration> {
        self.facts.handshake_rtt
    }

    /// What ends this connection.
    #[must_use]
    pub fn kill_switch(&self) -> &KillSwitch {
        self.link.kill_switch()
    }

    /// Looks at the socket without touching the I/O.
    #[must_use]
    pub fn probe(&self) -> SocketProbe {
        SocketProbe::new(self.meter.clone())
    }

    /// While `doubt` says so, silence that the monitor tells of does not end this connection.
    pub(crate) fn doubt_silence(&self, doubt: impl Fn() -> bool + Send + Sync + 'static) {
        self.link.doubt_silence(Ear::new(doubt));
    }

    /// What the monitor says of this one connection, not of its peer.
    #[must_use]
    pub fn health(&self) -> Health {
        self.link.health()
    }

    /// Every change of [`health`](Self::health); intermediate ones may be skipped.
    #[must_use]
    pub fn health_changes(&self) -> watch::Receiver<Health> {
        self.link.changes()
    }

    /// Why the connection takes no new requests, once the peer has closed or reset it or it was killed. What had arrived
    /// before is still to be read: a response may be among it.
    #[must_use]
    pub fn closing(&self) -> Option<Reason> {
        if let Some(cause) = self.kill_switch().cause() {
            return Some(cause.reason);
        }
        let health = self.health();
        health.reason.is_told_by_the_socket().then_some(health.reason)
    }

    /// Whether the connection takes no new requests.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.closing().is_some()
    }

    /// Waits until the connection takes no new requests.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropping the future loses nothing.
    pub async fn closed(&self) -> Reason {
        let mut changes = self.link.changes();
        loop {
            if let Some(reason) = self.closing() {
                return reason;
            }
            tokio::select! {
                cause = self.kill_switch().killed() => return cause.reason,
                // The sender lives in the link this handle holds.
                _ = changes.changed() => {}
            }
        }
    }
}

impl fmt::Debug for ConnectionHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionHandle")
            .field("facts", &self.facts)
            .field("health", &self.health())
            .field("cause", &self.kill_switch().cause())
            .finish()
    }
}
