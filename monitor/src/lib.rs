//! The node daemon: what the kernel saw of a node's sockets becomes verdicts about peers, told to subscribers over a
//! unix socket. The modules follow the path of the data.

pub mod ledger;
pub mod sighting;
pub mod stall;
