//! The cluster as Kubernetes tells it, beside the path from the kernel: one watch of every EndpointSlice for the whole node.
//! Subscribers ask for the endpoints of a service and are told each change; the ledger is told of the peers it watches who has
//! their address, and whether he was told to end.
//!
//! ```text
//! API ──EndpointSlice──▶ slice ─▶ catalogue ──▶ board ══Endpoints══▶ socket
//!          (watch)        (pure)    (pure)        └────Listed────▶ hub ─▶ ledger
//! ```
//!
//! A second watch, of this node's pods, tells the roll their names.
//!
//! When the API is away the last known set stays and is marked as stale; what the kernel sees goes on as without Kubernetes.

mod board;
mod catalogue;
mod error;
mod names;
mod pods;
mod selection;
mod slice;
mod spread;
mod watch;

pub use board::{Answer, Asked, Board, Mailbox, View};
pub use catalogue::ServiceName;
pub use pods::NodePods;
pub use selection::Port;
pub use watch::{Access, start};
