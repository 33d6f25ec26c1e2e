//! What the client library costs and how fast it is, on this machine: calls through it beside the same calls through what
//! it is built on, and what becomes of calls when endpoints, nodes and the monitor die. Whoever serves runs in other processes
//! than whoever is measured.

mod allocations;
mod part;
mod role;
mod stage;
mod throttle;

pub use allocations::{AllocationArgs, count};
pub use part::Part;
pub(super) use role::Role;
