//! A tonic channel with connections that end when their peer dies.
//!
//! `cargo run -p obit --example tonic_channel -- http://greeter.default:50051`, then a line for each call.

mod calls;

use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let origin = std::env::args().nth(1).ok_or("which server? http://HOST:PORT")?;
    let endpoint = Endpoint::from_shared(origin)?;
    // Was: endpoint.connect_lazy()
    let channel = endpoint.connect_with_connector_lazy(obit::connector());
    let client = HealthClient::new(channel);
    calls::for_each_line(async || {
        let answer = client.clone().check(HealthCheckRequest::default()).await?;
        Ok::<_, tonic::Status>(answer.into_inner().status().as_str_name())
    })
    .await?;
    Ok(())
}
