//! What obit costs and how fast it is, on this machine, held against what is promised: the monitor, the client library, and the
//! scenarios of the lab; and what changed between two runs. Stands beside the data path, and sees all of it from outside.

pub mod client;
mod daemon;
pub mod diff;
mod file;
mod gather;
pub mod lab;
pub mod monitor;
mod others;
mod outcome;
mod record;
mod role;
mod run;
mod spread;
mod stopwatch;
mod table;
mod talk;
mod usage;

pub use file::FileError;
pub use gather::{Chosen, gather};
pub use outcome::{Outcome, Target};
pub use record::{BenchFile, BenchFlags, Bound, FORMAT, FailedPart, KIND, Range, Row, Values};
pub use role::{RoleArgs, run as run_role};
pub use run::{BenchSettings, Effort, Suite, estimate};
pub use spread::{Done, Pairs, Spread};
pub use table::{markdown, text};
