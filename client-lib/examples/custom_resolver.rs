//! Endpoints from a source of one's own: here a file, as a mounted ConfigMap is one, with an address and a zone on each line.
//!
//! `cargo run -p obit --example custom_resolver -- endpoints.txt`, then a line for each call. Change the file meanwhile.

mod calls;

use std::path::PathBuf;
use std::time::Duration;

use http_body_util::Empty;
use obit::resolve::{Endpoint, Resolve, Resolving, Sets};

/// Reads the file every second, and at once when an endpoint goes bad.
struct Listed(PathBuf);

impl Resolve for Listed {
    fn run(self: Box<Self>, mut sets: Sets) -> Resolving {
        Box::pin(async move {
            loop {
                match tokio::fs::read_to_string(&self.0).await {
                    // All of them, each time: what changed is not ours to find out.
                    Ok(text) => sets.publish(text.lines().filter_map(endpoint).collect()).await,
                    // The endpoints known stay.
                    Err(error) => sets.failed(error).await,
                }
                tokio::select! {
                    () = tokio::time::sleep(Duration::from_secs(1)) => {}
                    () = sets.trouble() => {}
                }
            }
        })
    }
}

fn endpoint(line: &str) -> Option<Endpoint> {
    let (address, zone) = line.split_once(' ').unwrap_or((line, ""));
    Some(Endpoint::new(address.parse().ok()?).with_zone(zone))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let file = std::env::args().nth(1).ok_or("which file?")?;
    let client = obit::Client::builder("http://shop.default").resolver(Listed(file.into()));
    let client = client.build()?;
    calls::for_each_line(async || {
        let request = http::Request::get("/").body(Empty::<bytes::Bytes>::new());
        let request = request.map_err(|error| error.to_string())?;
        let answer = client.request(request).await;
        answer.map(|answer| answer.status()).map_err(|error| error.to_string())
    })
    .await?;
    Ok(())
}
