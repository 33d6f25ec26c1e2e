//! What the monitor costs and how fast it is, on this machine: work with a monitor beside the same work without one, and
//! verdicts timed from the kernel's event to a subscriber. The real `obit monitor` is a process of its own here, seen from
//! outside.

mod part;
mod role;
mod stage;

pub use part::Part;
pub(super) use role::Role;
