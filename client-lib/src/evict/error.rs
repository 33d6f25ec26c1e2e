//! What an evicted call fails with.

use crate::PeerDead;

/// A call failed because its peer died, or for the inner service's own reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EvictError<E> {
    /// The peer is dead. Whether it had processed the call is not known.
    #[error("{0}")]
    PeerDead(#[from] PeerDead),
    /// The inner service, or its response body, failed while the peer was not known dead.
    #[error("{0}")]
    Inner(#[source] E),
}
