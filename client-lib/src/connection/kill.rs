//! The kill switch: carries a peer's death from the feed to everything that waits on one connection.

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::task::Waker;

use futures_util::task::AtomicWaker;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::PeerDead;

/// Ends one connection, or one dial, at once and with a reason. Clones are the same switch.
///
/// Once killed it stays killed. One switch belongs to one [`Guarded`](super::Guarded) I/O.
#[derive(Clone)]
pub struct KillSwitch(Arc<Inner>);

struct Inner {
    peer: SocketAddr,
    cause: OnceLock<PeerDead>,
    killed: CancellationToken,
    reader: AtomicWaker,
    writer: AtomicWaker,
}

impl KillSwitch {
    /// A switch for a connection to `peer`.
    #[must_use]
    pub fn new(peer: SocketAddr) -> Self {
        Self(Arc::new(Inner {
            peer,
            cause: OnceLock::new(),
            killed: CancellationToken::new(),
            reader: AtomicWaker::new(),
            writer: AtomicWaker::new(),
        }))
    }

    /// The peer at the other end.
    #[must_use]
    pub fn peer(&self) -> SocketAddr {
        self.0.peer
    }

    /// Ends the connection: its I/O fails from now on and every parked task is woken. Returns whether this was the first
    /// kill; the cause of a later one is dropped.
    pub fn kill(&self, cause: PeerDead) -> bool {
        if self.0.cause.set(cause).is_err() {
            return false;
        }
        self.0.reader.wake();
        self.0.writer.wake();
        self.0.killed.cancel();
        true
    }

    /// Whether the connection was killed. One atomic load.
    #[must_use]
    pub fn is_killed(&self) -> bool {
        self.0.cause.get().is_some()
    }

    /// Why the connection was killed; `None` while it was not.
    #[must_use]
    pub fn cause(&self) -> Option<PeerDead> {
        self.0.cause.get().cloned()
    }

    /// Waits until the connection is killed; at once if it was already.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropping the future loses nothing.
    pub async fn killed(&self) -> PeerDead {
        loop {
            self.0.killed.cancelled().await;
            if let Some(cause) = self.cause() {
                return cause;
            }
        }
    }

    /// [`killed`](Self::killed) as a named future that borrows nothing: completes once [`cause`](Self::cause) is there.
    pub(crate) fn killed_owned(&self) -> WaitForCancellationFutureOwned {
        self.0.killed.clone().cancelled_owned()
    }

    /// The waker of the task that last found nothing to read. Check [`is_killed`](Self::is_killed) *after* parking.
    pub(super) fn park_reader(&self, waker: &Waker) {
        self.0.reader.register(waker);
    }

    /// The waker of the task that last could not write. Check [`is_killed`](Self::is_killed) *after* parking.
    pub(super) fn park_writer(&self, waker: &Waker) {
        self.0.writer.register(waker);
    }
}

impl fmt::Debug for KillSwitch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KillSwitch")
            .field("peer", &self.0.peer)
            .field("cause", &self.0.cause.get())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use tokio_test::{assert_pending, assert_ready_eq, task};

    use super::*;
    use crate::Reason;

    fn death(reason: Reason) -> PeerDead {
        PeerDead {
            peer: "198.18.0.1:80".parse().unwrap(),
            reason,
            at: crate::clock::now(),
        }
    }

    #[tokio::test]
    async fn the_first_cause_is_kept_and_everyone_waiting_is_woken() {
        let switch = KillSwitch::new("198.18.0.1:80".parse().unwrap());
        let clone = switch.clone();
        let (mut first, mut second) = (task::spawn(switch.killed()), task::spawn(clone.killed()));
        assert_pending!(first.poll());
        assert_pending!(second.poll());
        assert!(!switch.is_killed());

        let cause = death(Reason::Refused);
        assert!(clone.kill(cause.clone()));
        assert!(!switch.kill(death(Reason::Reset)));

        assert!(first.is_woken() && second.is_woken());
        assert_ready_eq!(first.poll(), cause.clone());
        assert_ready_eq!(second.poll(), cause.clone());
        assert_eq!(switch.cause(), Some(cause.clone()));
        assert_ready_eq!(task::spawn(switch.killed()).poll(), cause);
    }
}
