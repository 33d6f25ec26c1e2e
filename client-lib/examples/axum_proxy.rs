//! A reverse proxy of one axum handler: what comes in goes to a living pod.
//!
//! `cargo run -p obit --example axum_proxy -- 10.244.0.7:8080 10.244.1.9:8080`; it prints where it listens. The pods speak
//! HTTP/2 without TLS.

use std::net::SocketAddr;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use tokio::net::TcpListener;
use tower::ServiceExt as _;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let pods = std::env::args().skip(1).map(|pod| pod.parse());
    let pods = pods.collect::<Result<Vec<SocketAddr>, _>>()?;
    // Was: a hyper-util client, and an address put into each request.
    let service = obit::Client::builder("http://shop.default:8080")
        .endpoints(pods)
        .build()?;
    let app = Router::new().fallback(forward).with_state(service);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    axum::serve(listener, app).await?;
    Ok(())
}

async fn forward(State(service): State<obit::Client>, request: Request) -> Response {
    let (mut head, body) = request.into_parts();
    // The client chooses whom it asks; of the URI only the path is the caller's.
    head.uri = head
        .uri
        .path_and_query()
        .map_or_else(Default::default, |path| path.clone().into());
    match service.oneshot(Request::from_parts(head, body)).await {
        Ok(answer) => answer.map(Body::new),
        Err(error) => (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
    }
}
