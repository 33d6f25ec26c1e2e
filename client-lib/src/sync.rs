//! What the threads of this crate meet in. The models in `client-lib/models` put loom's in their place.

pub(crate) use std::sync::{Mutex, MutexGuard, atomic};

pub(crate) use arc_swap::ArcSwap;
pub(crate) use tokio::sync::Notify;
