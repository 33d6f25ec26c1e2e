//! What runs pods on a node.

use std::path::Path;

use serde_json::{Value, json};

use super::address::{DNS, NodeNumber};
use super::containerd::SOCKET;
use super::pki::Pki;
use super::process::Plan;

/// Its configuration. JSON is YAML.
pub(super) fn config(pki: &Pki, node: NodeNumber, cgroup: &str, folder: &Path) -> Value {
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": "0.0.0.0",
        "healthzBindAddress": "127.0.0.1",
        "tlsCertFile": pki.certificate(&node.name()),
        "tlsPrivateKeyFile": pki.key(&node.name()),
        "authentication": {
            "anonymous": {"enabled": false},
            "webhook": {"enabled": true},
            "x509": {"clientCAFile": pki.authority()},
        },
        "authorization": {"mode": "Webhook"},
        "containerRuntimeEndpoint": format!("unix://{SOCKET}"),
        "clusterDNS": [DNS],
        "clusterDomain": "cluster.local",
        "resolvConf": "",
        "failCgroupV1": false,
        "failSwapOn": false,
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": cgroup,
        "cgroupsPerQOS": true,
        "enforceNodeAllocatable": ["pods"],
        // Lowering it takes CAP_SYS_RESOURCE, which root does not have everywhere.
        "oomScoreAdj": 0,
        "volumePluginDir": folder.join("volume-plugins"),
        // Images are loaded once, and a disk that is nearly full is the machine's business.
        "imageGCHighThresholdPercent": 100,
        "evictionHard": {
            "memory.available": "100Mi",
            "nodefs.available": "1%",
            "nodefs.inodesFree": "1%",
            "imagefs.available": "1%",
        },
        "nodeStatusUpdateFrequency": "2s",
        "nodeStatusReportFrequency": "10s",
        "serializeImagePulls": false,
    })
}

/// Its command line, after the program.
pub(super) fn arguments(plan: Plan, pki: &Pki, node: NodeNumber, folder: &Path) -> Plan {
    plan.option("--config", &folder.join("kubelet.yaml"))
        .option("--kubeconfig", &pki.file(&format!("{}.kubeconfig", node.name())))
        .option("--cert-dir", &folder.join("kubelet-certificates"))
        .arg(format!("--node-ip={}", node.address()))
        .arg(format!("--hostname-override={}", node.name()))
        .args(["--root-dir=/var/lib/kubelet", "--register-node=true", "--v=2"])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_keeps_pods_below_the_nodes_cgroup_and_tells_them_of_coredns() {
        let folder = tempfile::tempdir().expect("a folder");
        let pki = Pki::new(folder.path().into(), 1).expect("a PKI");
        let config = config(&pki, NodeNumber(1), "/obit-e2e-1/node1", folder.path());
        assert_eq!(config["cgroupRoot"], "/obit-e2e-1/node1");
        assert_eq!(config["clusterDNS"][0], "198.18.0.53");
        assert_eq!(config["tlsCertFile"], json!(folder.path().join("node1.crt")));
    }
}
