//! The client of a proxy beside it: one gRPC connection, as an application has one to its sidecar.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::TcpStream;
use tonic::transport::{Channel, Endpoint};

use crate::sidecar::PORT;

/// How often a proxy that does not listen yet is asked again: it gives no event to wait for.
const AGAIN: Duration = Duration::from_millis(20);

/// A channel to the proxy, once it listens.
///
/// # Errors
/// When it does not listen within `patience`.
pub(super) async fn channel(patience: Duration) -> anyhow::Result<Channel> {
    let proxy = SocketAddr::from((Ipv4Addr::LOCALHOST, PORT));
    let listens = async {
        while TcpStream::connect(proxy).await.is_err() {
            tokio::time::sleep(AGAIN).await;
        }
    };
    tokio::time::timeout(patience, listens)
        .await
        .with_context(|| format!("the proxy did not listen on {proxy} within {patience:?}"))?;
    let endpoint = Endpoint::from_shared(format!("http://{proxy}")).context("the proxy's address")?;
    Ok(endpoint.connect_lazy())
}
