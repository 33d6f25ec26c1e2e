//! A connectrpc transport over all pods of a service.
//!
//! `cargo run -p obit --example connectrpc -- 10.244.0.7:8080 10.244.1.9:8080`, then a line for each call. A client that
//! connectrpc generated takes the transport as it is; here the calls are written by hand.

mod calls;

use std::net::SocketAddr;

use bytes::Bytes;
use connectrpc::client::{ClientTransport as _, ServiceTransport};
use http_body_util::{BodyExt as _, Full};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let pods = std::env::args().skip(1).map(|pod| pod.parse());
    let pods = pods.collect::<Result<Vec<SocketAddr>, _>>()?;
    let service = obit::Client::builder("http://greeter.default:8080").endpoints(pods);
    // Was: Http2Connection::lazy_plaintext("http://greeter.default:8080".parse()?)
    let transport = ServiceTransport::new(service.build()?);
    calls::for_each_line(async || {
        let body = Full::new(Bytes::from_static(b"{}")).map_err(|never| match never {});
        let request = http::Request::post("/greet.v1.Greeter/Greet")
            .header("content-type", "application/json")
            .extension(obit::Idempotent(true))
            .body(body.boxed());
        let request = request.map_err(|error| error.to_string())?;
        let answer = transport.send(request).await;
        answer.map(|answer| answer.status()).map_err(|error| error.to_string())
    })
    .await?;
    Ok(())
}
