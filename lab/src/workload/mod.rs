//! The workload: the near end of the data path. A process of its own in the client's namespace that drives one client
//! library with the article's load and hands back every call it made.

mod call;
mod classes;
mod clients;
mod load;
mod observe;
mod process;
mod trace;

pub use classes::Classes;
pub use clients::ClientKind;
pub use load::{Done, Load, Transport, TransportBody};
pub use observe::{Observations, Told, Transition};
pub use process::{ClientArgs, run};
pub use trace::{Call, Outcome};

use clients::mark_idempotent;
