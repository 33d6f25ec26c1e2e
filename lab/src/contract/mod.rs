//! The contract between the lab and a client it measures: environment in, lines of JSON out. The lab's own clients keep it
//! like anybody's; `docs/lab.md` tells it to those who write one.

mod environment;
mod line;
mod reading;

pub use environment::{Environment, EnvironmentError};
pub use line::{CallLine, Line};
pub use reading::{Breach, Reading, Said};
