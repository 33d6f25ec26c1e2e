//! The library's waiting room.

#[path = "../../src/client/pool/queue.rs"]
pub(crate) mod queue;
