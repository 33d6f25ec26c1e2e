//! A kill switch without wakers: a cause that stays.

use std::net::SocketAddr;
use std::sync::{Arc, PoisonError};

use loom::sync::Mutex;

use crate::PeerDead;

/// As the library's.
#[derive(Debug, Clone)]
pub struct KillSwitch(Arc<Mutex<Option<PeerDead>>>);

impl KillSwitch {
    pub(crate) fn new(_: SocketAddr) -> Self {
        Self(Arc::new(Mutex::new(None)))
    }

    pub(crate) fn kill(&self, cause: PeerDead) -> bool {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let first = known.is_none();
        known.get_or_insert(cause);
        first
    }

    pub(crate) fn is_killed(&self) -> bool {
        self.cause().is_some()
    }

    pub(crate) fn cause(&self) -> Option<PeerDead> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
