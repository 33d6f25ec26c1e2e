//! In the place of the library's `sync`.

pub(crate) mod atomic;
mod notify;
mod swap;

pub(crate) use loom::sync::{Mutex, MutexGuard};
pub(crate) use notify::Notify;
pub(crate) use swap::ArcSwap;
