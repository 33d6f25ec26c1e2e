//! Ctrl-C and SIGTERM end a wait, wherever it is, with an error; what was begun is then cleaned up on the way out.

use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::clock;

/// Readable from the first signal on, and never read: every later wait ends at once too.
static ASKED_TO_END: OnceLock<UnixStream> = OnceLock::new();

/// What ended a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Woken {
    /// The time was up.
    Late,
    /// The descriptor became readable.
    Ready,
}

/// From now on signals end waits instead of this process.
pub(crate) fn install() -> Result<()> {
    let (read, write) = UnixStream::pair().context("a pair of sockets for signals")?;
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        let write = write.try_clone().context("a socket for signals")?;
        signal_hook::low_level::pipe::register(signal, write).context("handling signals")?;
    }
    let _ = ASKED_TO_END.set(read);
    Ok(())
}

/// Waits as long as this.
///
/// # Errors
/// When asked to end.
pub(crate) fn pause(time: Duration) -> Result<()> {
    wait(None, clock::now() + time, false).map(drop)
}

/// Waits until `descriptor` is readable or the deadline has come.
///
/// # Errors
/// When asked to end, unless `through`: cleaning up is not interrupted.
pub(crate) fn wait(descriptor: Option<BorrowedFd<'_>>, deadline: Instant, through: bool) -> Result<Woken> {
    loop {
        let left = deadline.saturating_duration_since(clock::now());
        let left = Timespec::try_from(left).context("a time to wait")?;
        let signals = ASKED_TO_END.get().filter(|_| !through);
        let mut waited: Vec<PollFd<'_>> = Vec::with_capacity(2);
        waited.extend(descriptor.map(|descriptor| PollFd::from_borrowed_fd(descriptor, PollFlags::IN)));
        waited.extend(signals.map(|signals| PollFd::from_borrowed_fd(signals.as_fd(), PollFlags::IN)));
        match poll(&mut waited, Some(&left)) {
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(error).context("poll"),
            Ok(0) => return Ok(Woken::Late),
            Ok(_) => {}
        }
        if signals.is_some() && waited.last().is_some_and(|signals| !signals.revents().is_empty()) {
            bail!("asked to end");
        }
        return Ok(Woken::Ready);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_ends_when_its_time_is_up_or_its_descriptor_is_readable() {
        let (mut here, there) = UnixStream::pair().expect("a pair of sockets");
        let soon = || clock::now() + Duration::from_millis(5);
        assert_eq!(
            wait(Some(there.as_fd()), soon(), false).expect("no signal"),
            Woken::Late
        );
        std::io::Write::write_all(&mut here, b"x").expect("a byte");
        assert_eq!(
            wait(Some(there.as_fd()), soon(), false).expect("no signal"),
            Woken::Ready
        );
    }
}
