//! How long the path is: isolated deaths on an idle machine, from the kernel's event to the notice handled in a client
//! process.

mod bare;
mod deaths;
mod peer;
mod report;
mod stage;

pub use deaths::{DeathsArgs, run as run_deaths};
pub use peer::{PeerArgs, run as run_peer};
pub use report::{Latency, latency_line, latency_table};
pub use stage::{LatencySettings, run};

use serde::{Deserialize, Serialize};

/// A way to die.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A dial is refused: the listener is gone.
    Refused,
    /// The only connection is reset.
    Reset,
    /// The only connection is closed by the peer.
    Closed,
    /// A dial is not answered. Counted from the moment the stall threshold ran out: lateness, not waiting.
    Stalled,
}

impl Kind {
    /// Every kind, in the order they take turns.
    pub const ALL: [Self; 4] = [Self::Refused, Self::Reset, Self::Closed, Self::Stalled];

    /// What it is called in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Reset => "reset",
            Self::Closed => "FIN",
            Self::Stalled => "SYN stall",
        }
    }
}

/// One death.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Death {
    /// How it died.
    pub kind: Kind,
    /// From the kernel's event to the verdict handled in the client, nanoseconds; `None` if no verdict came.
    pub late_ns: Option<u64>,
    /// A bare wake-up of the client's runtime by another thread, a moment later, nanoseconds.
    pub bare_ns: u64,
}

/// The first port of a peer; each of its deaths has a port of its own.
pub const FIRST_PORT: u16 = 1_024;
