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

#[cfg(test)]
mod tests {
    use hyper::rt::ReadBuf;
    use hyper_util::rt::TokioIo;
    use tokio_test::io::Builder;
    use tokio_test::{assert_pending, assert_ready, assert_ready_ok, task};

    use super::*;
    use crate::{PeerDead, Reason, clock};

    fn peer() -> SocketAddr {
        SocketAddr::from(([198, 18, 0, 1], 80))
    }

    fn death() -> PeerDead {
        PeerDead {
            peer: peer(),
            reason: Reason::Stalled,
            at: clock::now(),
        }
    }

    /// I/O on which nothing can be read or written.
    struct Stuck;

    impl Read for Stuck {
        fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    impl Write for Stuck {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
            Poll::Pending
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    fn poll_read(io: &mut Guarded<impl Read + Unpin>, cx: &mut Context<'_>) -> Poll<io::Result<Vec<u8>>> {
        let mut bytes = [0; 16];
        let mut buf = ReadBuf::new(&mut bytes);
        Pin::new(io)
            .poll_read(cx, buf.unfilled())
            .map_ok(|()| buf.filled().to_vec())
    }

    #[tokio::test]
    async fn a_kill_wakes_the_reader_and_the_writer_and_fails_both() {
        let kill = KillSwitch::new(peer());
        let mut io = Guarded::new(Stuck, kill.clone());
        let (mut reader, mut writer) = (task::spawn(()), task::spawn(()));
        assert_pending!(reader.enter(|cx, _| poll_read(&mut io, cx)));
        assert_pending!(writer.enter(|cx, _| Pin::new(&mut io).poll_write(cx, b"x")));
        assert!(!reader.is_woken() && !writer.is_woken());

        kill.kill(death());
        assert!(reader.is_woken() && writer.is_woken());
        let read = assert_ready!(reader.enter(|cx, _| poll_read(&mut io, cx))).unwrap_err();
        let written = assert_ready!(writer.enter(|cx, _| Pin::new(&mut io).poll_write(cx, b"x"))).unwrap_err();
        let flushed = assert_ready!(writer.enter(|cx, _| Pin::new(&mut io).poll_flush(cx))).unwrap_err();
        for error in [read, written, flushed] {
            assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
            assert_eq!(PeerDead::find(&error).map(|dead| dead.reason), Some(Reason::Stalled));
        }
        assert_ready_ok!(writer.enter(|cx, _| Pin::new(&mut io).poll_shutdown(cx)));
    }

    #[tokio::test]
    async fn a_shutdown_that_waits_is_done_with_the_kill() {
        let kill = KillSwitch::new(peer());
        let mut io = Guarded::new(Stuck, kill.clone());
        let mut writer = task::spawn(());
        assert_pending!(writer.enter(|cx, _| Pin::new(&mut io).poll_shutdown(cx)));
        kill.kill(death());
        assert!(writer.is_woken());
        assert_ready_ok!(writer.enter(|cx, _| Pin::new(&mut io).poll_shutdown(cx)));
    }

    #[tokio::test]
    async fn until_the_kill_the_io_is_as_it_was() {
        let inner = Builder::new().read(b"ping").write(b"pong").build();
        let mut io = Guarded::new(TokioIo::new(inner), KillSwitch::new(peer()));
        let mut task = task::spawn(());
        let read = assert_ready_ok!(task.enter(|cx, _| poll_read(&mut io, cx)));
        assert_eq!(read, b"ping");
        let written = assert_ready_ok!(task.enter(|cx, _| Pin::new(&mut io).poll_write(cx, b"pong")));
        assert_eq!(written, 4);
    }
}
