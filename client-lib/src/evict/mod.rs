//! Eviction for tower: what the feed tells, as services and balancers understand it.
//!
//! [`EvictLayer`] ends what is in flight to one dead endpoint; [`EvictDiscover`] keeps the dead out of a balancer's choice.

mod body;
mod discover;
mod error;
mod forward;
mod future;
mod layer;
mod rotation;
mod service;

pub use body::EvictBody;
pub use discover::{EvictDiscover, Peers};
pub use error::EvictError;
pub use forward::{ForwardError, forward};
pub use future::ResponseFuture;
pub use layer::EvictLayer;
pub use service::EvictService;
