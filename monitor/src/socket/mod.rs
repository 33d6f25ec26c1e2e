//! The socket: where subscribers come in and notices go out, the end of the path in this process.

mod file;
mod former;
mod identity;
mod server;
mod services;
mod session;
mod wire;

use std::time::Duration;

pub use file::{BindError, SocketFile, bind};
pub use server::serve;

/// What every subscriber is told in its `Welcome`, and how patient the monitor is with it.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The node's name.
    pub node: String,
    /// Differs after every start.
    pub epoch: u64,
    /// The signals that are on, by name.
    pub signals: Vec<String>,
    /// The time between two heartbeats.
    pub heartbeat: Duration,
    /// How long a `Hello`, or the rest of a frame, may take.
    pub patience: Duration,
    /// How long a subscriber may read nothing although something is there to read.
    pub slow_reader: Duration,
    /// How many services a subscriber may watch.
    pub services: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            node: String::new(),
            epoch: 0,
            signals: Vec::new(),
            heartbeat: Duration::from_secs(1),
            patience: Duration::from_secs(5),
            slow_reader: Duration::from_secs(30),
            services: 1_024,
        }
    }
}
