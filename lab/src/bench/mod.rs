//! What the monitor costs and how fast it is, on this machine: work with a monitor beside the same work without one, and
//! verdicts timed from the kernel's event to a subscriber. Stands beside the data path: the real `obit monitor` is a process
//! of its own here, seen from outside.

mod outcome;
mod part;
mod role;
mod run;
mod spread;
mod stage;
mod table;
mod usage;

pub use outcome::{Outcome, Target};
pub use part::Part;
pub use role::{RoleArgs, run as run_role};
pub use run::{BenchSettings, estimate, run};
pub use spread::{Done, Spread};
pub use table::{markdown, text};
