//! The ground the data path is tested on: network namespaces, a bridge without an uplink, and filters inside the pods'
//! namespaces. Nothing outside the lab's own namespaces is changed, and no packet can leave them.

mod block;
mod command;
mod name;
mod prepared;
mod rules;
mod sweep;
mod topology;

pub use block::{BLOCK_PEERS, block_peer};
pub use command::{NetError, require_root, require_tools};
pub use name::{LabId, owner};
pub use prepared::Prepared;
pub use rules::{
    MARKED_TOS, Ruleset, drop_dials_of, host_unreachable, lose_at_port, refuse_way_to_marked_dials, silence,
    silence_marked_traffic, silence_port, stall_marked_dials, undisturbed, undisturbed_ports,
};
pub use sweep::{leftovers, sweep};
pub use topology::{Host, Topology};
