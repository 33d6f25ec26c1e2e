//! CoreDNS, in a namespace of its own, so that its way to the API can be taken away while it goes on answering.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::address::DNS;
use super::process::{Plan, Process};
use super::{Ground, kubeconfig};

/// Starts CoreDNS.
pub(super) fn start(ground: &Ground) -> Result<Process> {
    let kubeconfig = kubeconfig::write(&ground.pki, "dns")?;
    let file = ground.folder.join("Corefile");
    fs::write(&file, corefile(&kubeconfig)).with_context(|| format!("writing {}", file.display()))?;
    Plan::inside(&ground.fabric.namespace("dns"), "coredns", ground.parts.bin("coredns"))
        .arg("-conf")
        .arg(file)
        .start(&ground.logs)
}

/// `ttl 30` and `cache 30` are what clusters are made with; without them DNS would be fresher here than it is in real life.
fn corefile(kubeconfig: &Path) -> String {
    format!(
        ".:53 {{
    bind {DNS}
    errors
    health 127.0.0.1:8081
    ready 127.0.0.1:8181
    kubernetes cluster.local in-addr.arpa {{
        kubeconfig \"{}\"
        ttl 30
        pods insecure
    }}
    cache 30
    loadbalance
}}
",
        kubeconfig.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_live_as_long_as_in_a_real_cluster() {
        let corefile = corefile(Path::new("/pki/dns.kubeconfig"));
        for line in [
            "bind 198.18.0.53",
            "ttl 30",
            "cache 30",
            "kubeconfig \"/pki/dns.kubeconfig\"",
        ] {
            assert!(corefile.lines().any(|found| found.trim() == line), "{line}");
        }
    }
}
