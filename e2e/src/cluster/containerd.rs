//! What runs containers on a node, and how their network is made.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::address::NodeNumber;
use super::neighbour::FAST;
use super::parts::Parts;

/// The image of the process that holds a pod's namespaces.
pub(super) const SANDBOX_IMAGE: &str = "obit-e2e.local/pause:1";

/// Where it listens, in the node.
pub(super) const SOCKET: &str = "/run/containerd/containerd.sock";

/// Its configuration. A process without `CAP_SYS_RESOURCE`, as root is in some sandboxes, must not lower `oom_score_adj`: hence
/// the two settings of that name.
pub(super) fn config(parts: &Parts, folder: &Path) -> String {
    let path = |path: &Path| json!(path).to_string();
    let root = path(&folder.join("containerd"));
    let opt = path(&folder.join("opt"));
    let networks = path(&networks_folder(folder));
    let (plugins, runc) = (path(&parts.cni()), path(&parts.debian("runc")));
    format!(
        r#"version = 2
root = {root}
state = "/run/containerd"
oom_score = 0

[grpc]
address = "{SOCKET}"

[plugins."io.containerd.internal.v1.opt"]
path = {opt}

[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{SANDBOX_IMAGE}"
restrict_oom_score_adj = true

[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = {plugins}
conf_dir = {networks}

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
BinaryName = {runc}
SystemdCgroup = false
"#
    )
}

/// Where it finds what networks there are.
pub(super) fn networks_folder(folder: &Path) -> std::path::PathBuf {
    folder.join("networks")
}

/// The pods' network: a bridge of the node's, no translation of addresses.
pub(super) fn network(node: NodeNumber) -> Value {
    let sysctl: Map<_, _> = FAST
        .iter()
        .map(|(name, value)| (format!("net.ipv4.neigh.eth0.{name}"), json!(value)))
        .collect();
    json!({
        "cniVersion": "0.4.0",
        "name": "pods",
        "plugins": [
            {
                "type": "bridge",
                "bridge": "cni0",
                "isGateway": true,
                "ipMasq": false,
                "hairpinMode": true,
                "ipam": {
                    "type": "host-local",
                    "ranges": [[{"subnet": node.pods(), "gateway": node.gateway()}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            },
            {"type": "tuning", "sysctl": sysctl},
        ],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_is_toml_and_names_our_programs() {
        let parts = tempfile::tempdir().expect("a folder");
        let parts = Parts::unchecked(parts.path());
        let config: toml::Table = config(&parts, Path::new("/run of \"mine\"/node1"))
            .parse()
            .expect("TOML");
        let plugin = &config["plugins"]["io.containerd.grpc.v1.cri"];
        assert_eq!(plugin["sandbox_image"].as_str(), Some(SANDBOX_IMAGE));
        assert_eq!(
            plugin["cni"]["conf_dir"].as_str(),
            Some("/run of \"mine\"/node1/networks")
        );
        let options = &plugin["containerd"]["runtimes"]["runc"]["options"];
        assert!(
            options["BinaryName"]
                .as_str()
                .is_some_and(|runc| runc.ends_with("/runc"))
        );
    }

    #[test]
    fn pods_get_addresses_of_their_node() {
        let network = network(NodeNumber(2));
        assert_eq!(
            network["plugins"][0]["ipam"]["ranges"][0][0]["subnet"],
            "198.18.102.0/24"
        );
        assert_eq!(
            network["plugins"][1]["sysctl"]["net.ipv4.neigh.eth0.mcast_solicit"],
            "1"
        );
    }
}
