//! How a part of the cluster finds the API and says who it is. A kubeconfig is YAML, and JSON is YAML.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::address::api;
use super::pki::Pki;

/// Writes the kubeconfig of `name`, who has a certificate, beside it.
pub(super) fn write(pki: &Pki, name: &str) -> Result<PathBuf> {
    let file = pki.file(&format!("{name}.kubeconfig"));
    fs::write(&file, format!("{:#}\n", of(pki, name))).with_context(|| format!("writing {}", file.display()))?;
    Ok(file)
}

fn of(pki: &Pki, name: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "e2e", "cluster": {"server": api(), "certificate-authority": pki.authority()}}],
        "users": [{"name": name, "user": {"client-certificate": pki.certificate(name), "client-key": pki.key(name)}}],
        "contexts": [{"name": "e2e", "context": {"cluster": "e2e", "user": name}}],
        "current-context": "e2e",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_names_the_api_and_the_certificate_of_whom_it_is_for() {
        let folder = tempfile::tempdir().expect("a folder");
        let pki = Pki::new(folder.path().into(), 1).expect("a PKI");
        let file = write(&pki, "node1").expect("a kubeconfig");
        let config: Value = serde_json::from_slice(&fs::read(file).expect("the file")).expect("JSON");
        assert_eq!(config["clusters"][0]["cluster"]["server"], "https://198.18.0.1:6443");
        assert_eq!(config["users"][0]["user"]["client-key"], json!(pki.key("node1")));
        assert_eq!(config["contexts"][0]["context"]["user"], config["users"][0]["name"]);
    }
}
