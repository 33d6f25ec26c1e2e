//! hyper-util's pooled client (what most Rust HTTP clients are made of) with connections that end when their peer dies.
//!
//! `cargo run -p obit --example hyper_util -- http://shop.default:8080/`, then a line for each call.

mod calls;

use bytes::Bytes;
use http::Uri;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let uri = std::env::args().nth(1).ok_or("which server? http://HOST:PORT/PATH")?;
    let uri: Uri = uri.parse()?;
    // Was: .build_http()
    let client = Client::builder(TokioExecutor::new()).build::<_, Empty<Bytes>>(obit::connector());
    calls::for_each_line(async || {
        let (head, body) = client.get(uri.clone()).await?.into_parts();
        // A connection is used again once the answer was read to its end.
        let length = body.collect().await?.to_bytes().len();
        Ok::<_, Box<dyn std::error::Error>>(format!("{}, {length} bytes", head.status))
    })
    .await?;
    Ok(())
}
