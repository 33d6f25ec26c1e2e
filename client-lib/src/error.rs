//! The obituary as an error: what every part of this crate fails with when a peer died.

use std::io;
use std::net::SocketAddr;

use tokio::time::Instant;

use crate::Reason;

/// The peer is dead: what was in flight to it will not be answered.
///
/// Found by downcasting along [`source`](std::error::Error::source) where a library in between erases error types, with
/// [`PeerDead::find`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("peer {peer} is dead: {reason}")]
pub struct PeerDead {
    /// The peer.
    pub peer: SocketAddr,
    /// What told.
    pub reason: Reason,
    /// When this client learnt of it.
    pub at: Instant,
}

impl PeerDead {
    /// The obituary in an error's chain of sources, if it is there.
    ///
    /// HTTP/2 keeps the text of an I/O error and loses its type: there, ask the connection's
    /// [`KillSwitch`](crate::connection::KillSwitch) instead.
    #[must_use]
    pub fn find<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(found) = error.downcast_ref::<Self>() {
                return Some(found);
            }
            // `io::Error::source` skips the error it carries and gives that one's source.
            if let Some(inner) = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref)
                && let Some(found) = inner.downcast_ref::<Self>()
            {
                return Some(found);
            }
            next = error.source();
        }
        None
    }
}

impl From<PeerDead> for io::Error {
    fn from(cause: PeerDead) -> Self {
        io::Error::new(io::ErrorKind::ConnectionReset, cause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] io::Error);

    #[tokio::test]
    async fn the_obituary_is_found_inside_an_io_error_inside_another() {
        let cause = PeerDead {
            peer: "198.18.0.1:80".parse().unwrap(),
            reason: Reason::Refused,
            at: crate::clock::now(),
        };
        assert_eq!(cause.to_string(), "peer 198.18.0.1:80 is dead: connection refused");
        assert_eq!(PeerDead::find(&Outer(cause.clone().into())), Some(&cause));
        assert_eq!(PeerDead::find(&Outer(io::Error::other("else"))), None);
    }
}
