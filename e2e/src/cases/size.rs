//! What the monitor takes where there is much in the API: five thousand EndpointSlices of ten endpoints.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::clock;
use crate::interrupt;
use crate::stage::Stage;

use super::{monitor, process};

/// The namespace of what is only there to be much.
const NAMESPACE: &str = "obit-e2e-much";

/// Slices, and in how many lists they are given to kubectl at once.
const SLICES: usize = 5_000;
const LISTS: usize = 4;

/// Endpoints of each.
const ENDPOINTS: usize = 10;

/// What it may take, MiB, and of one core, percent.
const MOST_MIB: f64 = 64.0;
const MOST_PERCENT: f64 = 1.0;

/// How long it is idle while its processor time is measured.
const IDLE: Duration = Duration::from_secs(20);

/// Makes them, looks at the monitor, and takes them away.
pub(super) fn size(stage: &Stage) -> Result<String> {
    monitor::ensure(stage)?;
    let made = make(stage).and_then(|took| Ok((took, measure(stage)?)));
    let away = ["delete", "namespace", NAMESPACE, "--ignore-not-found", "--timeout=120s"];
    let away = stage.kubectl().tool(&away).patience(Duration::from_secs(130)).must();
    let (took, seen) = made?;
    away?;
    Ok(format!("{seen}; {SLICES} slices made in {:.0} s", took.as_secs_f64()))
}

fn make(stage: &Stage) -> Result<Duration> {
    let begun = clock::now();
    let namespace = format!("{{apiVersion: v1, kind: Namespace, metadata: {{name: {NAMESPACE}}}}}");
    stage.kubectl().apply(&namespace)?;
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
    })?;
    Ok(begun.elapsed())
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

/// The worst monitor: its memory once it has heard of all, and its processor time while nothing happens.
fn measure(stage: &Stage) -> Result<String> {
    let pods = monitor::one_on_each_node(stage)?;
    let pids = pods
        .iter()
        .map(|pod| process::find(&pod.uid, "/obit"))
        .collect::<Result<Vec<_>>>()?;
    // What was made last has arrived, and kubelets and controllers rest.
    interrupt::pause(Duration::from_secs(5))?;
    let before = pids
        .iter()
        .map(|pid| process::ticks(*pid))
        .collect::<Result<Vec<_>>>()?;
    let begun = clock::now();
    interrupt::pause(IDLE)?;
    let seconds = begun.elapsed().as_secs_f64();
    let (mut mib, mut percent) = (0.0_f64, 0.0_f64);
    for (pid, before) in pids.iter().zip(before) {
        let ticks = u32::try_from(process::ticks(*pid)? - before)?;
        percent = percent.max(f64::from(ticks) / seconds);
        mib = mib.max(f64::from(u32::try_from(process::resident(*pid)? / 1_024)?) / 1_024.0);
    }
    let said = format!("{mib:.1} MiB resident, {percent:.2} % of a core when idle");
    ensure!(
        mib <= MOST_MIB && percent <= MOST_PERCENT,
        "{said}: at most {MOST_MIB} MiB and {MOST_PERCENT} % are allowed"
    );
    Ok(said)
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
