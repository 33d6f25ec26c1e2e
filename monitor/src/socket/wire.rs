//! A subscriber's socket as the registry sees it: written to by whoever has news, never waited for.

use std::io;
use std::net::Shutdown;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::sync::Notify;

use crate::registry::Wire;

#[derive(Debug)]
pub(super) struct SocketWire {
    pub(super) stream: UnixStream,
    /// Something was left unwritten.
    pub(super) behind: Notify,
}

impl SocketWire {
    pub(super) fn new(stream: UnixStream) -> Self {
        Self {
            stream,
            behind: Notify::new(),
        }
    }

    /// Ends the conversation. For `listen`, drops what the other end still sends: one that is busy sending finds its
    /// goodbye rather than a broken pipe.
    pub(super) async fn close(&self, listen: Option<Duration>) {
        // Fails only if the other end is gone.
        let _ = socket2::SockRef::from(&self.stream).shutdown(Shutdown::Write);
        if let Some(time) = listen {
            // Whether it ended in time or not.
            let _ = tokio::time::timeout(time, self.drop_the_rest()).await;
        }
    }

    async fn drop_the_rest(&self) {
        let mut dropped = [0; 16 * 1024];
        while self.stream.readable().await.is_ok() {
            match self.stream.try_read(&mut dropped) {
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
        self.stream.try_write(bytes)
    }

    fn wake(&self) {
        self.behind.notify_one();
    }
}
