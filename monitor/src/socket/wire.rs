//! A subscriber's socket as the registry sees it: written to by whoever has news, never waited for.
//!
//! Registered for reading only. A socket registered for writing too wakes this process each time the subscriber reads, and it
//! is the subscriber that pays for the wake-up, between a notice and acting on it: 15 µs in a virtual machine whose other
//! processor is at rest. Room to write is asked for only where the subscriber is behind.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::Notify;

use crate::registry::Wire;

#[derive(Debug)]
pub(super) struct SocketWire {
    stream: AsyncFd<UnixStream>,
    /// Something was left unwritten.
    pub(super) behind: Notify,
}

impl SocketWire {
    /// Takes a connection that was just accepted.
    ///
    /// # Errors
    /// The runtime does not take its descriptor.
    pub(super) fn new(stream: tokio::net::UnixStream) -> io::Result<Self> {
        Ok(Self {
            stream: register(stream.into_std()?, Interest::READABLE)?,
            behind: Notify::new(),
        })
    }

    /// Waits until there is something to read, or the other end is gone.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(super) async fn readable(&self) -> io::Result<()> {
        self.stream.readable().await.map(|_| ())
    }

    /// Reads what is there.
    ///
    /// # Errors
    /// `WouldBlock` when that is nothing; what the socket says.
    pub(super) fn try_read(&self, into: &mut [u8]) -> io::Result<usize> {
        self.stream.try_io(Interest::READABLE, |mut stream| stream.read(into))
    }

    /// Waits until there is room to write, or the other end is gone.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(super) async fn writable(&self) -> io::Result<()> {
        let duplicate = register(self.stream.get_ref().try_clone()?, Interest::WRITABLE)?;
        duplicate.writable().await.map(|_| ())
    }

    /// Ends the conversation. For `listen`, drops what the other end still sends: one that is busy sending finds its
    /// goodbye rather than a broken pipe.
    pub(super) async fn close(&self, listen: Option<Duration>) {
        // Fails only if the other end is gone.
        let _ = self.stream.get_ref().shutdown(Shutdown::Write);
        if let Some(time) = listen {
            // Whether it ended in time or not.
            let _ = tokio::time::timeout(time, self.drop_the_rest()).await;
        }
    }

    async fn drop_the_rest(&self) {
        let mut dropped = [0; 16 * 1024];
        while self.readable().await.is_ok() {
            match self.try_read(&mut dropped) {
                Ok(0) => return,
                Ok(_) => tokio::task::yield_now().await,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
        }
    }
}

impl Wire for SocketWire {
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.get_ref().write(bytes)
    }

    fn wake(&self) {
        self.behind.notify_one();
    }
}

#[expect(unsafe_code, reason = "tokio asks for a promise about the file descriptor")]
fn register(stream: UnixStream, interest: Interest) -> io::Result<AsyncFd<UnixStream>> {
    // SAFETY: a stream always names the descriptor it owns, and is dropped after its registration.
    unsafe { AsyncFd::register_with_interest(stream, interest) }.map_err(|error| io::Error::other(error.to_string()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream as Blocking;

    use super::*;

    fn pair() -> (SocketWire, Blocking) {
        let (ours, theirs) = Blocking::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let ours = tokio::net::UnixStream::from_std(ours).unwrap();
        (SocketWire::new(ours).unwrap(), theirs)
    }

    #[tokio::test]
    async fn what_was_read_half_is_still_readable_and_what_was_read_whole_is_not() {
        let (wire, mut other) = pair();
        other.write_all(b"abc").unwrap();
        wire.readable().await.unwrap();
        assert_eq!(wire.try_read(&mut [0; 2]).unwrap(), 2);
        wire.readable().await.unwrap();
        assert_eq!(wire.try_read(&mut [0; 2]).unwrap(), 1);
        assert_eq!(
            wire.try_read(&mut [0; 2]).unwrap_err().kind(),
            io::ErrorKind::WouldBlock
        );
        let mut waiting = tokio_test::task::spawn(wire.readable());
        tokio_test::assert_pending!(waiting.poll());
    }

    #[tokio::test]
    async fn room_to_write_comes_when_the_other_end_reads() {
        let (wire, mut other) = pair();
        let piece = [0; 64 * 1024];
        while wire.try_write(&piece).is_ok() {}
        let mut waiting = tokio_test::task::spawn(wire.writable());
        tokio_test::assert_pending!(waiting.poll());
        other.set_nonblocking(true).unwrap();
        while other.read(&mut [0; 64 * 1024]).is_ok() {}
        waiting.await.unwrap();
        assert!(wire.try_write(&piece).is_ok());
    }
}
