//! One pod of the service: answers with its name, says how it is (gRPC health), and leaves in good order.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::Context as _;
use socket2::{Domain, Socket, Type};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};
use tonic_health::ServingStatus;

use crate::proto::greeter_server::{Greeter, GreeterServer};
use crate::proto::{GreetRequest, GreetResponse};

/// Dials that may wait to be accepted.
const BACKLOG: i32 = 1_024;

/// What a server is told.
#[derive(Debug, Clone, clap::Args)]
pub struct ServeArgs {
    /// Where to listen; `[::]` is every address of both families
    #[arg(long, default_value = "[::]:50051", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// How long a call takes, milliseconds
    #[arg(long, default_value_t = 10, value_name = "MS")]
    delay_ms: u64,
    /// How long to go on as before after SIGTERM, milliseconds: for callers who hear late that this pod is leaving
    #[arg(long, default_value_t = 1_000, value_name = "MS")]
    leave_ms: u64,
    /// The name to answer with; the host's name by default
    #[arg(long, env = "POD_NAME", value_name = "NAME")]
    name: Option<String>,
}

struct Pod {
    name: String,
    delay: Duration,
}

#[tonic::async_trait]
impl Greeter for Pod {
    async fn greet(&self, _: Request<GreetRequest>) -> Result<Response<GreetResponse>, Status> {
        tokio::time::sleep(self.delay).await;
        Ok(Response::new(GreetResponse { pod: self.name.clone() }))
    }
}

/// Answers calls until SIGTERM. Then it says that it is not ready, goes on for a while, says goodbye on every connection (GOAWAY), and
/// ends with the last call.
///
/// # Errors
/// When it cannot listen.
pub async fn serve(args: &ServeArgs) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM cannot be heard")?;
    let listener = listen(args.listen).with_context(|| format!("listen on {}: is it in use?", args.listen))?;
    let pod = Pod {
        name: args.name.clone().unwrap_or_else(host_name),
        delay: Duration::from_millis(args.delay_ms),
    };
    let (health, health_service) = tonic_health::server::health_reporter();
    tracing::info!(name = pod.name, address = %listener.local_addr()?, "listening");
    let leave = async {
        terminate.recv().await;
        tracing::info!("leaving");
        health.set_service_status("", ServingStatus::NotServing).await;
        tokio::time::sleep(Duration::from_millis(args.leave_ms)).await;
    };
    Server::builder()
        .add_service(health_service)
        .add_service(GreeterServer::new(pod))
        .serve_with_incoming_shutdown(TcpIncoming::from(listener).with_nodelay(Some(true)), leave)
        .await
        .context("the server failed")
}

/// Listens; at `[::]` for IPv4 as well, whatever the node's `net.ipv6.bindv6only` says, and for IPv4 alone on a kernel without IPv6.
fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = match Socket::new(Domain::for_address(address), Type::STREAM, None) {
        Err(error) if address.is_ipv6() && address.ip().is_unspecified() => {
            tracing::warn!(%error, "no IPv6 here: listening for IPv4 alone");
            return listen((Ipv4Addr::UNSPECIFIED, address.port()).into());
        }
        made => made?,
    };
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_unspecified_address_is_of_both_families() {
        let listener = listen("[::]:0".parse().expect("an address")).expect("it listens");
        let port = listener.local_addr().expect("it is bound").port();
        let dial = tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port));
        assert!(dial.await.is_ok());
    }
}
