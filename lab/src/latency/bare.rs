//! What one wake-up costs here and now: the floor under every latency of the same run. From a kernel's event to a client
//! there are two of them, the reader's and the client's.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream as Blocking;
use std::time::Duration;

use anyhow::Context as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use crate::clock::monotonic_ns;

/// How long the other thread is quiet before it writes, so that the processors have gone to rest.
const QUIET: Duration = Duration::from_millis(5);

/// A thread that writes the time to a socket when asked.
#[derive(Debug)]
pub(super) struct Bare(UnixStream);

impl Bare {
    /// Starts the thread; it ends when this is dropped.
    pub(super) fn start() -> anyhow::Result<Self> {
        let (near, far) = Blocking::pair().context("a pair of sockets")?;
        near.set_nonblocking(true)?;
        std::thread::Builder::new()
            .name("bare".into())
            .spawn(move || answer(far))?;
        Ok(Self(UnixStream::from_std(near)?))
    }

    /// From a write on the other thread to this task, nanoseconds.
    pub(super) async fn wake_up_ns(&mut self) -> anyhow::Result<u64> {
        self.0.write_u8(0).await?;
        let written_ns = self.0.read_u64().await?;
        Ok(monotonic_ns().saturating_sub(written_ns))
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the quiet before the write is what is measured from"
)]
fn answer(mut socket: Blocking) {
    while socket.read_exact(&mut [0]).is_ok() {
        std::thread::sleep(QUIET);
        if socket.write_all(&monotonic_ns().to_be_bytes()).is_err() {
            break;
        }
    }
}
