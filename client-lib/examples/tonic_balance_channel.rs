//! tonic's own balanced channel, from which obit takes the dead and to which it gives them back.
//!
//! `cargo run -p obit --example tonic_balance_channel -- 10.244.0.7:50051 10.244.1.9:50051`, then a line for each call.

mod calls;

use std::convert::Infallible;
use std::net::SocketAddr;

use futures_util::stream;
use obit::{EvictDiscover, Feed, evict};
use tonic::transport::{Channel, Endpoint, channel};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tower::discover::Change;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let pods = std::env::args().skip(1).map(|pod| pod.parse());
    let pods = pods.collect::<Result<Vec<SocketAddr>, _>>()?;
    let mut endpoints = Vec::new();
    for pod in pods {
        endpoints.push(Ok::<_, Infallible>(Change::Insert(
            pod,
            Endpoint::from_shared(format!("http://{pod}"))?,
        )));
    }
    let (channel, changes) = Channel::balance_channel(16);
    // Was: each endpoint sent to `changes` as it is.
    let living = EvictDiscover::new(stream::iter(endpoints), Feed::global());
    tokio::spawn(evict::forward(living, move |change| {
        let changes = changes.clone();
        let change = match change {
            Change::Insert(pod, endpoint) => channel::Change::Insert(pod, endpoint),
            Change::Remove(pod) => channel::Change::Remove(pod),
        };
        async move { changes.send(change).await }
    }));
    let client = HealthClient::new(channel);
    calls::for_each_line(async || {
        let answer = client.clone().check(HealthCheckRequest::default()).await?;
        Ok::<_, tonic::Status>(answer.into_inner().status().as_str_name())
    })
    .await?;
    Ok(())
}
