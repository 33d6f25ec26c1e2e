//! I/O with a kill switch: what hyper, or anything else, reads and writes. HTTP/2 ends every stream of a connection when
//! its I/O fails, and nothing else ends them: dropping hyper's `Connection` does not.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};

use super::KillSwitch;
use crate::feed::Registration;

pin_project_lite::pin_project! {
    /// I/O that fails as soon as its [`KillSwitch`] is thrown, and wakes whoever waits on it.
    ///
    /// After the kill every read, write and flush fails with [`ConnectionReset`](io::ErrorKind::ConnectionReset), the
    /// [`PeerDead`] inside. [`Connected`] carries the switch as an extra, so that the response of hyper-util's client has
    /// it among its extensions.
    #[derive(Debug)]
    pub struct Guarded<T> {
        #[pin]
        io: T,
        kill: KillSwitch,
        tie: Option<Registration>,
    }
}

impl<T> Guarded<T> {
    /// `io`, until `kill` is thrown. The switch must guard nothing else.
    pub fn new(io: T, kill: KillSwitch) -> Self {
        Self { io, kill, tie: None }
    }

    /// `io`, just connected, for as long as the peer of its registration lives.
    pub(crate) fn tied(io: T, registration: Registration) -> Self {
        registration.link().establish();
        Self {
            io,
            kill: registration.link().kill_switch().clone(),
            tie: Some(registration),
        }
    }

    /// `io` that nobody can say anything about.
    pub(crate) fn unwatched(io: T) -> Self {
        let nobody = SocketAddr::from(([0, 0, 0, 0], 0));
        Self::new(io, KillSwitch::new(nobody))
    }

    /// What ends this connection.
    pub fn kill_switch(&self) -> &KillSwitch {
        &self.kill
    }

    /// The I/O inside.
    pub fn get_ref(&self) -> &T {
        &self.io
    }
}

fn alive(kill: &KillSwitch) -> io::Result<()> {
    kill.cause().map_or(Ok(()), |cause| Err(cause.into()))
}

/// Which side of the I/O a task waits on.
type Park = fn(&KillSwitch, &Waker);

/// Does `io` unless killed, and makes sure that a kill wakes a task that has to wait.
fn guard<R>(
    kill: &KillSwitch,
    park: Park,
    cx: &mut Context<'_>,
    io: impl FnOnce(&mut Context<'_>) -> Poll<io::Result<R>>,
) -> Poll<io::Result<R>> {
    alive(kill)?;
    let polled = io(cx);
    if polled.is_pending() {
        park(kill, cx.waker());
        // A kill between the first look and the parking would wake nobody.
        alive(kill)?;
    }
    polled
}

impl<T: Read> Read for Guarded<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let this = self.project();
        guard(this.kill, KillSwitch::park_reader, cx, |cx| this.io.poll_read(cx, buf))
    }
}

impl<T: Write> Write for Guarded<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.project();
        guard(this.kill, KillSwitch::park_writer, cx, |cx| this.io.poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.project();
        guard(this.kill, KillSwitch::park_writer, cx, |cx| this.io.poll_flush(cx))
    }

    /// A dead connection has nothing left to say: shutting it down succeeds.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.project();
        let polled = guard(this.kill, KillSwitch::park_writer, cx, |cx| this.io.poll_shutdown(cx));
        if this.kill.is_killed() {
            return Poll::Ready(Ok(()));
        }
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.project();
        guard(this.kill, KillSwitch::park_writer, cx, |cx| {
            this.io.poll_write_vectored(cx, bufs)
        })
    }
}

impl<T: Connection> Connection for Guarded<T> {
    fn connected(&self) -> Connected {
        self.io.connected().extra(self.kill.clone())
    }
}
