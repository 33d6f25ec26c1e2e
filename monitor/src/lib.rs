//! The node daemon: what the kernel saw of a node's sockets becomes verdicts about peers, told to subscribers over a
//! unix socket. The modules follow the path of the data:
//!
//! ```text
//! kernel ──Sighting──▶ reader ─▶ stall, home ─▶ ledger ──Standing──▶ registry ══Notice══▶ socket
//!                                      └──────────────── hub ────────────────┘
//! ```

mod allocator;
pub mod canary;
pub mod cli;
pub mod clock;
pub mod coverage;
pub mod doctor;
pub mod endpoint;
pub mod home;
pub mod hub;
pub mod kernel;
pub mod kubernetes;
pub mod ledger;
mod priority;
pub mod privilege;
pub mod reader;
pub mod record;
pub mod registry;
pub mod sighting;
pub mod socket;
pub mod stall;
pub mod status;
pub mod subscribers;
pub mod suspicion;
