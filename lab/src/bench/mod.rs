//! What obit costs and how fast it is, on this machine, held against what is promised: the monitor, and the client library.
//! Stands beside the data path, and sees both from outside.

pub mod client;
mod daemon;
pub mod monitor;
mod outcome;
mod role;
mod run;
mod spread;
mod stopwatch;
mod table;
mod talk;
mod usage;

pub use outcome::{Outcome, Target};
pub use role::{RoleArgs, run as run_role};
pub use run::{BenchSettings, Suite, estimate};
pub use spread::{Done, Spread};
pub use table::{markdown, text};
