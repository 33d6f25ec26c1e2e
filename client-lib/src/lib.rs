//! Your connection pool reads the obituary before it dials the dead.
//!
//! obit's monitor sees in the kernel when a peer resets, refuses or no longer answers. This crate carries that knowledge
//! to whatever an application connects with, and evicts what is dead within milliseconds. Its layers are each usable
//! alone:
//!
//! 1. [`Feed`]: the subscription to the node's monitor, and a health map read without locks.
//! 2. [`connection::dial`]: dials and connections that end when their peer dies; [`connector()`] puts them under hyper-util,
//!    tonic and connectrpc.
//! 3. [`EvictLayer`] and [`EvictDiscover`]: eviction for tower services and balancers.
//!
//! Without a monitor everything keeps working from its own evidence.

pub mod client;
mod clock;
pub mod connection;
pub mod connector;
mod error;
pub mod evict;
pub mod feed;
mod health;

pub use client::{
    Body, Cause, Client, ClientBuilder, EndpointEvent, EndpointStatus, Error, Idempotent, Phase, RetryBudget, policy,
    resolve,
};
pub use connector::{Connector, connector};
pub use error::PeerDead;
pub use evict::{EvictDiscover, EvictLayer};
pub use feed::{Feed, FeedStatus, PeerWatch};
pub use health::{Health, Reason, Verdict};
