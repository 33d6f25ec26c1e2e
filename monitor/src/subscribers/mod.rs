//! Who the subscribers are, beside the path: which pod each is in, and which services it may ask for.
//!
//! ```text
//! accepted socket ──cgroup (kernel)──▶ uid ──▶ roll ──name──▶ metrics, log
//! API ──pods of this node (watch)───────────────▲ └──▶ policy ──▶ socket: may it ask?
//! ```
//!
//! Nothing here is what a subscriber claims. Where the kernel does not tell the cgroup, or the API not the pod, it is nobody
//! in particular, and is served as such.

mod policy;
mod roll;
mod uid;

pub use policy::{Policy, PolicyError};
pub use roll::{Place, PodName, Roll};
pub use uid::Uid;
