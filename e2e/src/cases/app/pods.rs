//! The servers, as the API, the slices and DNS have them.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::{App, Caller, NAMESPACE};

/// A server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cases) struct Pod {
    pub(in crate::cases) name: String,
    pub(in crate::cases) uid: String,
    pub(in crate::cases) node: String,
    pub(in crate::cases) address: String,
    pub(in crate::cases) ready: bool,
    /// It was told to end.
    pub(in crate::cases) ending: bool,
}

impl App<'_> {
    /// The servers that there are.
    pub(in crate::cases) fn servers(&self) -> Result<Vec<Pod>> {
        let list = self
            .kubectl()
            .get_json(&["-n", NAMESPACE, "pods", "-l", "app=greeter"])?;
        let items = list["items"].as_array().context("kubectl get pods printed no items")?;
        Ok(items.iter().map(pod).collect())
    }

    /// The server of that name.
    pub(in crate::cases) fn server(&self, name: &str) -> Result<Pod> {
        let mut servers = self.servers()?.into_iter();
        let found = servers.find(|pod| pod.name == name);
        found.with_context(|| format!("there is no pod {name}"))
    }

    /// The addresses that the slices call ready.
    pub(in crate::cases) fn sliced(&self) -> Result<BTreeSet<String>> {
        let of = "kubernetes.io/service-name=greeter";
        let slices = self
            .kubectl()
            .get_json(&["-n", NAMESPACE, "endpointslices", "-l", of])?;
        Ok(ready_addresses(&slices))
    }

    /// The addresses that DNS has for the service, as a caller's pod is told.
    pub(in crate::cases) fn named(&self) -> Result<BTreeSet<String>> {
        let what = format!("deployment/caller-{}", Caller::ObitDns.name());
        let line = [
            "/obit-example",
            "resolve",
            "--service",
            "greeter",
            "--namespace",
            NAMESPACE,
        ];
        let said = self.kubectl().exec(NAMESPACE, &what, "call", &line)?;
        Ok(said.lines().map(str::to_owned).collect())
    }
}

fn pod(item: &Value) -> Pod {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let conditions = item["status"]["conditions"].as_array();
    let ready = conditions
        .into_iter()
        .flatten()
        .any(|it| it["type"] == "Ready" && it["status"] == "True");
    Pod {
        name: text(&item["metadata"]["name"]),
        uid: text(&item["metadata"]["uid"]),
        node: text(&item["spec"]["nodeName"]),
        address: text(&item["status"]["podIP"]),
        ready,
        ending: item["metadata"]["deletionTimestamp"].is_string(),
    }
}

fn ready_addresses(slices: &Value) -> BTreeSet<String> {
    let slices = slices["items"].as_array().into_iter().flatten();
    let endpoints = slices.flat_map(|slice| slice["endpoints"].as_array().into_iter().flatten());
    let ready = endpoints.filter(|endpoint| endpoint["conditions"]["ready"] == true);
    let addresses = ready.flat_map(|endpoint| endpoint["addresses"].as_array().into_iter().flatten());
    addresses
        .filter_map(|address| address.as_str().map(str::to_owned))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pod_is_ready_by_its_condition_and_ends_by_its_timestamp() {
        let item = json!({
            "metadata": {"name": "greeter-a", "uid": "1-2", "deletionTimestamp": "2026-11-28T08:00:00Z"},
            "spec": {"nodeName": "node1"},
            "status": {"podIP": "198.18.101.4", "conditions": [{"type": "Ready", "status": "True"}]},
        });
        let read = pod(&item);
        assert_eq!(
            (read.name.as_str(), read.uid.as_str(), read.node.as_str()),
            ("greeter-a", "1-2", "node1")
        );
        assert!(read.ready && read.ending);
        let fresh =
            pod(&json!({"metadata": {"name": "b"}, "status": {"conditions": [{"type": "Ready", "status": "False"}]}}));
        assert!(!fresh.ready && !fresh.ending && fresh.address.is_empty());
    }

    #[test]
    fn slices_are_read_for_what_is_ready() {
        let slices = json!({"items": [
            {"endpoints": [
                {"addresses": ["198.18.101.4"], "conditions": {"ready": true}},
                {"addresses": ["198.18.101.5"], "conditions": {"ready": false, "serving": true}},
            ]},
            {"endpoints": null},
        ]});
        assert_eq!(ready_addresses(&slices), BTreeSet::from(["198.18.101.4".to_owned()]));
    }
}
