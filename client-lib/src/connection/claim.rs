//! Which of the process's sockets are this crate's own: what they carry ends with its obituary, and whoever looks after the
//! rest leaves them alone.

use std::collections::HashSet;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

static CLAIMED: LazyLock<Mutex<HashSet<u64>>> = LazyLock::new(Mutex::default);

fn claimed() -> MutexGuard<'static, HashSet<u64>> {
    CLAIMED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Says that a socket is this crate's own, until dropped: after the socket.
#[derive(Debug)]
pub(crate) struct Claim(u64);

impl Claim {
    /// Claims the socket of this cookie.
    pub(crate) fn new(cookie: u64) -> Self {
        claimed().insert(cookie);
        Self(cookie)
    }

    /// Whether this crate looks after the socket of this cookie itself.
    pub(crate) fn covers(cookie: u64) -> bool {
        claimed().contains(&cookie)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        claimed().remove(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_holds_until_it_is_dropped() {
        // The kernel counts cookies from the bottom.
        let cookie = u64::MAX;
        let claim = Claim::new(cookie);
        assert!(Claim::covers(cookie));
        drop(claim);
        assert!(!Claim::covers(cookie));
    }
}
