//! The two set-ups, and the lab's name server in place of the system's.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use ginepro::{LoadBalancedChannel, LookupService, ServiceDefinition};
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;

use crate::contract::Environment;

/// How often DNS is asked, and how long a dial or a call may take, in the set-up that uses all that ginepro offers.
const BEST: Duration = Duration::from_secs(1);

/// The set-up of that name.
pub async fn named(name: &str, told: &Environment) -> anyhow::Result<LoadBalancedChannel> {
    let target = told.target.rsplit_once(':').context("a target without a port")?;
    let port: u16 = target.1.parse().context("the target's port")?;
    let service = ServiceDefinition::from_parts(target.0, port)?;
    let builder = LoadBalancedChannel::builder(service).lookup_service(NameServer::of(told)?);
    match name {
        "ginepro" => builder.channel().await,
        "ginepro-best" => {
            let builder = builder.dns_probe_interval(BEST).connect_timeout(BEST).timeout(BEST);
            builder.channel().await
        }
        other => anyhow::bail!("{other:?} is no client: name ginepro or ginepro-best"),
    }
}

/// What ginepro's own resolver does, asked of the lab's name server: no cache.
struct NameServer(TokioResolver);

impl NameServer {
    fn of(told: &Environment) -> anyhow::Result<Self> {
        let mut udp = ConnectionConfig::udp();
        udp.port = told.name_server.port();
        let server = NameServerConfig::new(told.name_server.ip(), true, vec![udp]);
        let config = ResolverConfig::from_parts(None, vec![], vec![server]);
        let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        builder.options_mut().cache_size = 0;
        Ok(Self(builder.build()?))
    }
}

#[async_trait::async_trait]
impl LookupService for NameServer {
    async fn resolve_service_endpoints(&self, service: &ServiceDefinition) -> anyhow::Result<HashSet<SocketAddr>> {
        let found = self.0.lookup_ip(format!("{}.", service.hostname())).await?;
        Ok(found.iter().map(|address| (address, service.port()).into()).collect())
    }
}
