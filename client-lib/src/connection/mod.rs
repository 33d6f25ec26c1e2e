//! Connections that end when their peer dies: between the feed, which tells of the death, and whatever drives the I/O.

mod claim;
mod dial;
mod guarded;
mod kill;
mod last_words;
mod probe;
mod silence;
pub(crate) mod sockopt;
mod tcp;
mod writes;

pub(crate) use claim::Claim;
pub use dial::{DialError, DialOptions, dial};
pub use guarded::Guarded;
pub use kill::KillSwitch;
pub use probe::SocketProbe;
pub use silence::{CADENCE, DIAL_AFTER, SUSPECT_AFTER, Silence, SilenceRule, SocketSample};
pub use tcp::{ConnectionHandle, GuardedTcp, TcpIo};
