//! What the tests of this crate share: a monitor that says what a test wants said, over a real unix socket.

#![allow(
    dead_code,
    clippy::unwrap_used,
    unreachable_pub,
    unused_imports,
    missing_docs,
    reason = "shared by several test binaries, each of which uses its part"
)]

pub mod guarded;
mod live;
mod monitor;
mod server;
mod sockets;

pub use live::LiveMonitor;
pub use monitor::{FakeMonitor, HEARTBEAT_MS, Subscriber, verdict};
pub use server::Server;
pub use sockets::{Blackhole, dials_in_progress, monotonic_ns};
