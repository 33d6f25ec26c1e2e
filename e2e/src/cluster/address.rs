//! Who has which address: everything is in 198.18.0.0/15, the prefix for tests of networks (RFC 2544), which nobody routes.

use std::net::Ipv4Addr;

/// The control plane, in the fabric's namespace.
pub(super) const CONTROL: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);

/// CoreDNS, in a namespace of its own.
pub(super) const DNS: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 53);

/// The services' prefix.
pub(super) const SERVICES: &str = "198.19.0.0/16";

/// The address of the API as a service: the first of the services' prefix.
pub(super) const API_SERVICE: Ipv4Addr = Ipv4Addr::new(198, 19, 0, 1);

/// The API's port.
pub(super) const API_PORT: u16 = 6443;

/// All nodes' pods.
pub(super) const PODS: &str = "198.18.96.0/19";

/// The prefix length of the network between the nodes, and of each node's pods.
pub(super) const PREFIX: u8 = 24;

/// One node: it is counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NodeNumber(pub(super) u8);

impl NodeNumber {
    /// The nodes of a cluster of so many.
    pub(super) fn all(nodes: u8) -> impl Iterator<Item = Self> + Clone {
        (1..=nodes).map(Self)
    }

    /// "node1".
    pub(super) fn name(self) -> String {
        format!("node{}", self.0)
    }

    /// The node's own address.
    pub(super) fn address(self) -> Ipv4Addr {
        Ipv4Addr::new(198, 18, 0, 10 + self.0)
    }

    /// The address of the node's pods' way out.
    pub(super) fn gateway(self) -> Ipv4Addr {
        Ipv4Addr::new(198, 18, 100 + self.0, 1)
    }

    /// The prefix of the node's pods.
    pub(super) fn pods(self) -> String {
        format!("198.18.{}.0/{PREFIX}", 100 + self.0)
    }
}

/// Where the API is.
pub(super) fn api() -> String {
    format!("https://{CONTROL}:{API_PORT}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_node_has_an_address_and_a_prefix_of_its_own() {
        let nodes: Vec<_> = NodeNumber::all(2)
            .map(|node| (node.name(), node.address(), node.pods()))
            .collect();
        assert_eq!(
            nodes,
            [
                ("node1".into(), Ipv4Addr::new(198, 18, 0, 11), "198.18.101.0/24".into()),
                ("node2".into(), Ipv4Addr::new(198, 18, 0, 12), "198.18.102.0/24".into()),
            ]
        );
    }
}
