//! The endpoints that failed this very call. Pure.

use std::net::SocketAddr;

/// Allocates only when a call fails.
#[derive(Debug, Default)]
pub(crate) struct Tried(Vec<SocketAddr>);

impl Tried {
    pub(crate) fn push(&mut self, peer: SocketAddr) {
        if !self.contains(peer) {
            self.0.push(peer);
        }
    }

    pub(crate) fn contains(&self, peer: SocketAddr) -> bool {
        self.0.contains(&peer)
    }

    pub(crate) fn peers(&self) -> &[SocketAddr] {
        &self.0
    }
}
