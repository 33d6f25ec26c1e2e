//! A client, a DNS server and pods, each in its own namespace on one bridge; the bridge has a namespace of its own and
//! no uplink. Made with iproute2, removed when dropped.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::net::Ipv4Addr;

use tokio::process::Command;

use super::command::{NetError, require_root, run};
use super::{LabId, Ruleset};

/// The prefix length of 198.18.0.0/15, the block kept for benchmarks (RFC 2544).
const PREFIX_LENGTH: u8 = 15;

/// A namespace with one address on the bridge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// What it is in the lab: "client", "dns", "pod-0", …
    pub role: String,
    /// The name of its namespace.
    pub namespace: String,
    /// Its only address.
    pub address: Ipv4Addr,
}

impl Host {
    /// A command that runs `program` in this namespace. `ip` execs it, so the child's pid is the program's.
    #[must_use]
    pub fn command(&self, program: &OsStr) -> Command {
        command_in(&self.namespace, program)
    }

    /// Applies a rule set in this namespace.
    ///
    /// # Errors
    /// When nft is missing or refuses.
    pub fn apply(&self, rules: &Ruleset) -> Result<(), NetError> {
        run("ip", &["netns", "exec", &self.namespace, "nft", "-f", "-"], &rules.0).map(drop)
    }

    /// The path under which other tools find this namespace.
    #[must_use]
    pub fn path(&self) -> std::path::PathBuf {
        std::path::Path::new("/run/netns").join(&self.namespace)
    }
}

/// A command that runs `program` in a namespace.
pub(super) fn command_in(namespace: &str, program: &OsStr) -> Command {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", namespace]).arg(program);
    command
}

/// The lab's namespaces. Dropping it deletes them.
#[derive(Debug)]
pub struct Topology {
    /// The bridge's namespace. Each host's port on it is called like the host's role.
    pub bridge: String,
    /// Where the measured client runs.
    pub client: Host,
    /// Where somebody else on the client's node runs.
    pub neighbour: Host,
    /// Where the DNS server runs.
    pub dns: Host,
    /// Where the pods run.
    pub pods: Vec<Host>,
}

impl Topology {
    /// Builds the namespaces of `lab` with `pods` pods.
    ///
    /// # Errors
    /// When not root, a tool is missing or refuses. What was made until then is removed.
    pub fn build(lab: LabId, pods: usize) -> Result<Self, NetError> {
        require_root()?;
        let topology = Self::plan(lab, pods)?;
        // From here on `topology` is dropped on failure, and takes along what was made.
        run("ip", &["-batch", "-"], &topology.namespaces_batch())?;
        run("ip", &["-n", &topology.bridge, "-batch", "-"], &topology.bridge_batch())?;
        for host in topology.hosts() {
            run("ip", &["-n", &host.namespace, "-batch", "-"], &host_batch(host))?;
        }
        Ok(topology)
    }

    fn plan(lab: LabId, pods: usize) -> Result<Self, NetError> {
        let host = |role: String, address| Host {
            namespace: lab.namespace(&role),
            role,
            address,
        };
        let pods = (0..pods)
            .map(|index| match u8::try_from(index) {
                Ok(last) if last < 200 => Ok(host(format!("pod-{index}"), Ipv4Addr::new(198, 18, 1, last + 1))),
                _ => Err(NetError::PodCount(pods)),
            })
            .collect::<Result<Vec<_>, _>>()?;
        if pods.is_empty() {
            return Err(NetError::PodCount(0));
        }
        Ok(Self {
            bridge: lab.namespace("bridge"),
            client: host("client".into(), Ipv4Addr::new(198, 18, 0, 1)),
            neighbour: host("neighbour".into(), Ipv4Addr::new(198, 18, 0, 2)),
            dns: host("dns".into(), Ipv4Addr::new(198, 18, 0, 53)),
            pods,
        })
    }

    /// Every host, the client first.
    pub fn hosts(&self) -> impl Iterator<Item = &Host> {
        [&self.client, &self.neighbour, &self.dns].into_iter().chain(&self.pods)
    }

    fn namespaces(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.bridge.as_str()).chain(self.hosts().map(|host| host.namespace.as_str()))
    }

    fn namespaces_batch(&self) -> String {
        self.namespaces().fold(String::new(), |mut batch, name| {
            let _ = writeln!(batch, "netns add {name}");
            batch
        })
    }

    /// Run inside the bridge's namespace: the pairs are made with their far ends already in the hosts' namespaces, so
    /// no interface ever appears in the machine's own.
    fn bridge_batch(&self) -> String {
        let mut batch = String::from("link add br0 type bridge stp_state 0 mcast_snooping 0\nlink set br0 up\n");
        for Host { role, namespace, .. } in self.hosts() {
            let _ = writeln!(batch, "link add {role} type veth peer name eth0 netns {namespace}");
            let _ = writeln!(batch, "link set {role} master br0 up");
        }
        batch
    }
}

/// Run inside a host's namespace. No IPv6 link-local address: its router solicitations would be noise.
fn host_batch(host: &Host) -> String {
    format!(
        "link set lo up\nlink set eth0 addrgenmode none\naddress add {}/{PREFIX_LENGTH} dev eth0\nlink set eth0 up\n",
        host.address
    )
}

impl Drop for Topology {
    fn drop(&mut self) {
        for name in self.namespaces() {
            // A namespace that was never made cannot be deleted; one that cannot be deleted is swept by the next lab.
            let _ = run("ip", &["netns", "delete", name], "");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(pods: usize) -> std::mem::ManuallyDrop<Topology> {
        std::mem::ManuallyDrop::new(Topology::plan(LabId::of(1), pods).unwrap())
    }

    #[test]
    fn every_host_has_an_address_of_its_own() {
        let topology = planned(200);
        let mut addresses: Vec<_> = topology.hosts().map(|host| host.address).collect();
        addresses.sort_unstable();
        addresses.dedup();
        assert_eq!(addresses.len(), 203);
        assert!(
            addresses
                .iter()
                .all(|address| matches!(address.octets(), [198, 18 | 19, ..]))
        );
    }

    #[test]
    fn interfaces_are_made_inside_the_labs_namespaces_only() {
        let topology = planned(1);
        assert!(
            topology
                .namespaces_batch()
                .lines()
                .all(|line| line.starts_with("netns add obit-lab-1-"))
        );
        assert!(
            topology.bridge_batch().contains(
                "link add pod-0 type veth peer name eth0 netns obit-lab-1-pod-0\nlink set pod-0 master br0 up"
            )
        );
    }

    #[test]
    fn no_pods_and_too_many_pods_are_refused() {
        for pods in [0, 201] {
            assert!(matches!(Topology::plan(LabId::of(1), pods), Err(NetError::PodCount(n)) if n == pods));
        }
    }
}
