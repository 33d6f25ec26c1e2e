//! The test lab of obit: pods in network namespaces, the article's workload, and reports that tell what a client made
//! of a dying pod. The whole data path runs in it, from the kernel to the pool.

pub mod api;
pub mod bench;
pub mod child;
pub mod cli;
pub mod client;
pub mod clock;
pub mod contract;
pub mod digest;
pub mod dns;
pub mod latency;
pub mod matrix;
pub mod neighbour;
pub mod net;
pub mod order;
pub mod pod;
pub mod record;
pub mod report;
pub mod run;
pub mod scenario;
pub mod session;
pub mod sidecar;
pub mod workload;
