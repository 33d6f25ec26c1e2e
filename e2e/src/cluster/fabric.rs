//! The network: a namespace with a bridge, where the control plane is, and one for each node and for CoreDNS, each with one link to
//! the bridge. No uplink: no packet can leave.

use std::fmt::Write as _;

use anyhow::{Context as _, Result};

use super::address::{CONTROL, DNS, NodeNumber, PREFIX};
use super::name::RunId;
use crate::command::Tool;

/// The namespaces of a run. Dropping it deletes them.
#[derive(Debug)]
pub(super) struct Fabric {
    run: RunId,
    nodes: u8,
}

impl Fabric {
    /// Makes the namespaces and what connects them.
    pub(super) fn new(run: RunId, nodes: u8) -> Result<Self> {
        // First, so that whatever fails from here on, all of it goes.
        let fabric = Self { run, nodes };
        for role in fabric.roles() {
            ip(&["netns", "add", &run.namespace(&role)], "")?;
        }
        batch(&run.namespace("fabric"), &fabric_batch(run, nodes))?;
        batch(&run.namespace("dns"), &dns_batch(nodes))?;
        for node in NodeNumber::all(nodes) {
            batch(&run.namespace(&node.name()), &node_batch(node, nodes))?;
        }
        Ok(fabric)
    }

    /// The namespace of `role`: "fabric", "dns", "node1", …
    pub(super) fn namespace(&self, role: &str) -> String {
        self.run.namespace(role)
    }

    /// Takes the carrier of a node's link away, or gives it back: a cable pulled at the switch. The node keeps its addresses and routes.
    pub(super) fn set_link(&self, node: &str, up: bool) -> Result<()> {
        let state = if up { "up" } else { "down" };
        batch(&self.namespace("fabric"), &format!("link set {node} {state}\n"))
            .with_context(|| format!("the link of {node}, to be set {state}"))
    }

    /// Takes the way between CoreDNS and the control plane away, or gives it back: what either sends the other vanishes. Both
    /// directions, or CoreDNS would still hear what it can no longer acknowledge. Nodes and pods reach CoreDNS as before.
    pub(super) fn set_dns_watch(&self, up: bool) -> Result<()> {
        let verb = if up { "delete" } else { "add" };
        for (role, address) in [("dns", CONTROL), ("fabric", DNS)] {
            batch(&self.namespace(role), &format!("route {verb} blackhole {address}/32\n"))
                .with_context(|| format!("the way between CoreDNS and the API: {verb} a black hole in {role}"))?;
        }
        Ok(())
    }

    fn roles(&self) -> Vec<String> {
        let nodes = NodeNumber::all(self.nodes).map(NodeNumber::name);
        ["fabric".to_owned(), "dns".to_owned()]
            .into_iter()
            .chain(nodes)
            .collect()
    }
}

impl Drop for Fabric {
    fn drop(&mut self) {
        for role in self.roles() {
            // One that was never made cannot be deleted; one that cannot be deleted is swept by the next run.
            let _ = delete(&self.namespace(&role));
        }
    }
}

/// The names of all network namespaces of the machine.
pub(super) fn namespaces() -> Result<Vec<String>> {
    // Printed as "name (id: 3)".
    let listed = ip(&["netns", "list"], "")?;
    Ok(listed
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .map(str::to_owned)
        .collect())
}

/// Deletes a namespace.
pub(super) fn delete(name: &str) -> Result<()> {
    Tool::new("ip")
        .args(["netns", "delete", name])
        .through_interrupts()
        .must()
        .map(drop)
}

fn batch(namespace: &str, lines: &str) -> Result<()> {
    ip(&["-n", namespace, "-batch", "-"], lines).map(drop)
}

fn ip(arguments: &[&str], input: &str) -> Result<String> {
    let ip = Tool::new("ip").args(arguments).input(input).must();
    ip.context("ip of iproute2")
}

/// Links are made with their far ends already in the nodes' namespaces: no interface ever appears in the machine's own.
fn fabric_batch(run: RunId, nodes: u8) -> String {
    let mut batch = String::from("link set lo up\nlink add br0 type bridge stp_state 0 mcast_snooping 0\n");
    let _ = writeln!(
        batch,
        "link set br0 addrgenmode none\naddress add {CONTROL}/{PREFIX} dev br0\nlink set br0 up"
    );
    for role in NodeNumber::all(nodes).map(NodeNumber::name).chain(["dns".to_owned()]) {
        let _ = writeln!(
            batch,
            "link add {role} type veth peer name eth0 netns {}",
            run.namespace(&role)
        );
        let _ = writeln!(
            batch,
            "link set {role} addrgenmode none\nlink set {role} master br0\nlink set {role} up"
        );
    }
    pods_of_others(&mut batch, nodes, None);
    batch
}

fn dns_batch(nodes: u8) -> String {
    let mut batch = String::from("link set lo up\nlink set eth0 addrgenmode none\n");
    let _ = writeln!(batch, "address add {DNS}/{PREFIX} dev eth0\nlink set eth0 up");
    pods_of_others(&mut batch, nodes, None);
    batch
}

/// The bridge of the pods is there before the first pod, so that the node can set it up.
fn node_batch(node: NodeNumber, nodes: u8) -> String {
    let mut batch = String::from("link set lo up\nlink set eth0 addrgenmode none\n");
    let _ = writeln!(
        batch,
        "address add {}/{PREFIX} dev eth0\nlink set eth0 up",
        node.address()
    );
    let _ = writeln!(batch, "route add default via {CONTROL}");
    let _ = writeln!(
        batch,
        "link add cni0 type bridge stp_state 0 mcast_snooping 0\nlink set cni0 addrgenmode none"
    );
    let _ = writeln!(
        batch,
        "address add {}/{PREFIX} dev cni0\nlink set cni0 up",
        node.gateway()
    );
    pods_of_others(&mut batch, nodes, Some(node));
    batch
}

fn pods_of_others(batch: &mut String, nodes: u8, own: Option<NodeNumber>) {
    for node in NodeNumber::all(nodes).filter(|&node| Some(node) != own) {
        let _ = writeln!(batch, "route add {} via {}", node.pods(), node.address());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces_are_made_inside_the_runs_namespaces_only() {
        let batch = fabric_batch(RunId::of(1), 2);
        assert!(
            batch.contains("link add node2 type veth peer name eth0 netns obit-e2e-1-node2\n"),
            "{batch}"
        );
        assert!(batch.contains("route add 198.18.102.0/24 via 198.18.0.12\n"), "{batch}");
    }

    #[test]
    fn a_node_knows_the_way_to_the_pods_of_the_others() {
        let batch = node_batch(NodeNumber(1), 2);
        assert!(batch.contains("route add 198.18.102.0/24 via 198.18.0.12\n"), "{batch}");
        assert!(!batch.contains("198.18.101.0/24"), "{batch}");
    }
}
