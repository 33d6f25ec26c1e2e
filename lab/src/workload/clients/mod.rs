//! The client libraries the lab compares. Each becomes a transport under the same generated client.

mod obit;
mod proxied;

use std::net::SocketAddr;
use std::time::Duration;

use ::obit::policy::LeastRequest;
use anyhow::Context as _;
use tonic::transport::{Channel, Endpoint};

use super::Observations;
use super::load::{Done, Load, Transport, apply, warm_up};
use super::process::rendezvous;
use crate::contract::Environment;
use crate::pod::proto::demo_client::DemoClient;

/// A client the lab can measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, clap::ValueEnum)]
pub enum ClientKind {
    /// obit's whole client, with a monitor on its node, told by Kubernetes which pods there are.
    Obit,
    /// The same with a policy that looks at how busy endpoints are, `obit::policy::LeastRequest`.
    ObitLeastRequest,
    /// The whole client with a monitor, told by DNS.
    ObitDns,
    /// The same client without a monitor, told by DNS.
    ObitBlind,
    /// tonic's own balancer, `Channel::balance_list`, as it comes.
    Tonic,
    /// One connection to a proxy beside it, which is the client that is measured.
    Proxied,
}

impl ClientKind {
    /// Every client that needs nothing beside it.
    pub const ALL: [Self; 5] = [
        Self::Obit,
        Self::ObitLeastRequest,
        Self::ObitDns,
        Self::ObitBlind,
        Self::Tonic,
    ];

    /// What it is called on the command line and in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Obit => "obit",
            Self::ObitLeastRequest => "obit-least-request",
            Self::ObitDns => "obit-dns",
            Self::ObitBlind => "obit-blind",
            Self::Tonic => "tonic",
            Self::Proxied => "proxied",
        }
    }

    /// Whether it listens to a monitor.
    #[must_use]
    pub fn needs_monitor(self) -> bool {
        matches!(self, Self::Obit | Self::ObitLeastRequest | Self::ObitDns)
    }
}

/// How long a client may take to open its connections.
const WARM_UP_PATIENCE: Duration = Duration::from_secs(10);

/// Marks a call for clients that may repeat it.
pub(super) fn mark_idempotent<M>(request: &mut tonic::Request<M>) {
    request.extensions_mut().insert(::obit::Idempotent(true));
}

/// Builds the client, warms it up, and applies the load.
pub(super) async fn drive(client: ClientKind, told: &Environment) -> anyhow::Result<(Done, Observations)> {
    match client {
        ClientKind::Tonic => {
            let done = drive_transport(balance_list(&told.pods)?, told).await?;
            Ok((done, Observations::default()))
        }
        ClientKind::Proxied => {
            let done = drive_transport(proxied::channel(WARM_UP_PATIENCE).await?, told).await?;
            Ok((done, Observations::default()))
        }
        ClientKind::Obit | ClientKind::ObitLeastRequest | ClientKind::ObitDns | ClientKind::ObitBlind => {
            let builder = obit::builder(told);
            let builder = match client {
                ClientKind::Obit => builder.resolver(obit::slices(told)?),
                ClientKind::ObitLeastRequest => builder.resolver(obit::slices(told)?).policy(LeastRequest::default()),
                _ => builder.resolver(obit::dns(told)?),
            };
            let observed = obit::Observed::new(told, builder)?;
            let done = drive_transport(observed.client.clone(), told).await?;
            Ok((done, observed.observations()))
        }
    }
}

async fn drive_transport<T: Transport>(transport: T, told: &Environment) -> anyhow::Result<Done> {
    let client = DemoClient::new(transport);
    warm_up(&client, told.calls, told.pods.len(), WARM_UP_PATIENCE).await?;
    rendezvous().await?;
    let load = Load {
        concurrency: told.concurrency,
        requests: told.requests,
        calls: told.calls,
        idempotent: told.idempotent,
        bound: Duration::from_secs(told.seconds),
    };
    Ok(apply(&client, load).await)
}

/// tonic's balancer over a fixed list: it resolves no names, so it gets the addresses.
fn balance_list(pods: &[SocketAddr]) -> anyhow::Result<Channel> {
    let endpoints = pods.iter().map(|pod| Endpoint::from_shared(format!("http://{pod}")));
    let endpoints = endpoints
        .collect::<Result<Vec<_>, _>>()
        .context("the pods' addresses")?;
    Ok(Channel::balance_list(endpoints.into_iter()))
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;

    #[test]
    fn clients_are_called_on_the_command_line_what_they_are_called_in_reports() {
        for &kind in ClientKind::value_variants() {
            assert_eq!(ClientKind::from_str(kind.name(), false), Ok(kind));
        }
    }
}
