//! The lab's Kubernetes API: EndpointSlices of the pods' service, listed and watched over HTTP. It tells at once what was ordered
//! (a pod joins, a pod is told to end), and nothing of what befell one.

#[path = "../../../client-lib/tests/api_support/mod.rs"]
mod server;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};

use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice};
use serde::{Deserialize, Serialize};

use crate::order::Orders;
use crate::pod::PORT;
use server::Api;

/// The pods' service.
pub const SERVICE: &str = "demo";

/// Its namespace.
pub const NAMESPACE: &str = "lab";

/// What its port is called.
pub const PORT_NAME: &str = "grpc";

/// The label that gives a slice to its service.
const SERVICE_LABEL: &str = "kubernetes.io/service-name";

/// What the server is told.
#[derive(Debug, Clone, clap::Args)]
pub struct ApiArgs {
    /// The process that must outlive this one.
    #[arg(long)]
    pub parent: u32,
    /// Where it listens.
    #[arg(long)]
    pub listen: SocketAddr,
    /// A pod that is ready.
    #[arg(long = "pod", required = true)]
    pub pods: Vec<Ipv4Addr>,
}

/// What the server can be told while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Order {
    /// A pod is ready.
    Ready(Ipv4Addr),
    /// A pod was told to end.
    Terminating(Ipv4Addr),
}

/// Serves until its standard input ends; it is told [`Order`]s there. Prints `ready` once it listens.
///
/// # Errors
/// When it is told something else.
pub fn run(args: &ApiArgs) -> anyhow::Result<()> {
    crate::child::die_with_parent(args.parent)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut pods: BTreeMap<_, _> = args.pods.iter().map(|pod| (*pod, true)).collect();
        let api = Api::start_at(args.listen).await;
        api.apply(&slice(&pods));
        println!("ready");
        let mut orders = Orders::of_stdin();
        while let Some(order) = orders.next().await? {
            match order {
                Order::Ready(pod) => pods.insert(pod, true),
                Order::Terminating(pod) => pods.insert(pod, false),
            };
            api.apply(&slice(&pods));
        }
        Ok(())
    })
}

/// The one slice of the service. Whoever is not ready terminates, and serves until it is gone.
fn slice(pods: &BTreeMap<Ipv4Addr, bool>) -> EndpointSlice {
    let endpoints = pods.iter().map(|(address, ready)| Endpoint {
        addresses: vec![address.to_string()],
        conditions: Some(EndpointConditions {
            ready: Some(*ready),
            serving: Some(true),
            terminating: Some(!*ready),
        }),
        ..Endpoint::default()
    });
    let mut slice = EndpointSlice {
        address_type: "IPv4".to_owned(),
        endpoints: endpoints.collect(),
        ports: Some(vec![EndpointPort {
            name: Some(PORT_NAME.to_owned()),
            port: Some(PORT.into()),
            ..EndpointPort::default()
        }]),
        ..EndpointSlice::default()
    };
    slice.metadata.name = Some(format!("{SERVICE}-1"));
    slice.metadata.namespace = Some(NAMESPACE.to_owned());
    slice.metadata.labels = Some([(SERVICE_LABEL.to_owned(), SERVICE.to_owned())].into());
    slice
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_was_told_to_end_serves_and_is_not_ready() {
        let pods = [
            (Ipv4Addr::new(198, 18, 1, 1), true),
            (Ipv4Addr::new(198, 18, 1, 2), false),
        ];
        let slice = slice(&pods.into());
        let conditions: Vec<_> = slice
            .endpoints
            .iter()
            .filter_map(|endpoint| endpoint.conditions.as_ref())
            .map(|it| (it.ready, it.serving, it.terminating))
            .collect();
        assert_eq!(
            conditions,
            [
                (Some(true), Some(true), Some(false)),
                (Some(false), Some(true), Some(true))
            ]
        );
    }
}
