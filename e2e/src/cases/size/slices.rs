//! EndpointSlices of services that nobody asks for.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::stage::Stage;

use super::NAMESPACE;

/// Slices, and in how many lists they are given to kubectl at once.
pub(super) const SLICES: usize = 5_000;
const LISTS: usize = 4;

/// Endpoints of each.
const ENDPOINTS: usize = 10;

/// Makes them all.
pub(super) fn make(stage: &Stage) -> Result<()> {
    std::thread::scope(|scope| {
        let made: Vec<_> = (0..LISTS)
            .map(|list| {
                // Without the schema: each kubectl would fetch and read some megabytes of it.
                let create = stage.kubectl().tool(&["create", "--validate=false", "-f", "-"]);
                let create = create.input(slices(list));
                scope.spawn(move || create.patience(Duration::from_secs(300)).must().map(drop))
            })
            .collect();
        let made = made
            .into_iter()
            .map(|made| made.join().ok().context("a thread panicked")?);
        made.collect::<Result<()>>()
    })
}

/// One of the lists.
fn slices(list: usize) -> String {
    let count = SLICES / LISTS;
    let mut items = String::new();
    for slice in list * count..(list + 1) * count {
        let endpoints = (0..ENDPOINTS).map(|endpoint| {
            let number = slice * ENDPOINTS + endpoint;
            // In a range for examples that nobody here has: 50 000 addresses from 198.19.0.0 on would be services'.
            let address = format!("10.{}.{}.{}", number / 62_500, number / 250 % 250, number % 250 + 1);
            format!(r#"{{"addresses":["{address}"],"conditions":{{"ready":true}},"nodeName":"much"}}"#)
        });
        let endpoints: Vec<_> = endpoints.collect();
        let comma = if items.is_empty() { "" } else { "," };
        let _ = write!(
            items,
            r#"{comma}{{"apiVersion":"discovery.k8s.io/v1","kind":"EndpointSlice","addressType":"IPv4","metadata":{{"name":"much-{slice}","namespace":"{NAMESPACE}","labels":{{"kubernetes.io/service-name":"much-{slice}","endpointslice.kubernetes.io/managed-by":"obit-e2e"}}}},"endpoints":[{}],"ports":[{{"name":"grpc","port":50051,"protocol":"TCP"}}]}}"#,
            endpoints.join(",")
        );
    }
    format!(r#"{{"apiVersion":"v1","kind":"List","items":[{items}]}}"#)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    #[test]
    fn the_lists_hold_fifty_thousand_addresses() {
        let mut addresses = BTreeSet::new();
        for list in 0..LISTS {
            let list: Value = serde_json::from_str(&slices(list)).expect("it is JSON");
            for slice in list["items"].as_array().expect("items") {
                for endpoint in slice["endpoints"].as_array().expect("endpoints") {
                    let address = endpoint["addresses"][0].as_str().expect("an address");
                    assert!(address.parse::<std::net::Ipv4Addr>().is_ok(), "{address}");
                    addresses.insert(address.to_owned());
                }
            }
        }
        assert_eq!(addresses.len(), SLICES * ENDPOINTS);
    }
}
