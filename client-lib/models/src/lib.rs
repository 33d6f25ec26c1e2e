//! The parts of the client library where threads meet without a common lock, compiled once more from the library's own
//! files, with loom in the place of what they meet in (`obit::sync`). Each model is a few threads and a claim; loom runs
//! it in every order of events, and lets loads return every value the memory model allows.
//!
//! Modelled in full are the library's own atomics: a connection's streams ([`load`]), the average of its answers
//! ([`average`]), the waiting room ([`queue`]), and the order of the steps in which the health map is written and read
//! ([`feed`]). Taken at their word are the libraries': `ArcSwap` and `Notify` are written out here as their documentation has
//! them, `watch` is tokio's and used by one thread, and the kill switch is a flag that stays.
//!
//! `SeqCst` accesses are more than loom knows; here they are made of fences, which it does know (`sync::atomic`).

// Where all targets are built, this one is as a test too, in which the library's unit tests would be.
#![cfg(not(test))]
#![allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "the library's files are taken whole, the models use a part"
)]

mod connection;
#[path = "../../src/error.rs"]
mod error;
#[path = "../../src/health.rs"]
mod health;
#[path = "../../src/service.rs"]
mod service;
mod sync;

use sync::atomic::{Fences, set_fences};

pub(crate) use error::PeerDead;
pub(crate) use health::{Health, Reason, Verdict};

mod policy;
mod pool;

pub mod average;
pub mod feed;
pub mod load;
pub mod queue;

/// Has loom run `threads` in every order, those with more interruptions of a thread than `interruptions` left out.
fn explore(interruptions: Option<usize>, threads: impl Fn() + Sync + Send + Copy + 'static) {
    for fences in [Fences::Before, Fences::After] {
        set_fences(fences);
        let mut model = loom::model::Builder::new();
        model.preemption_bound = interruptions;
        model.check(threads);
    }
}

/// A moment; the models ask for nothing but an order.
#[expect(clippy::disallowed_methods, reason = "any moment will do")]
fn now() -> tokio::time::Instant {
    tokio::time::Instant::now()
}
