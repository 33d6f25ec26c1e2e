//! Endpoints from DNS: every address of a headless name, looked up again when its TTL runs out and when trouble says so.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolverConfig};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;

use super::{Endpoint, Resolve, Resolving, Sets};
use crate::clock;

/// Why a name gave no endpoints.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum DnsError {
    /// The look-up failed: no name server answered, or the name has no address.
    #[error("cannot look up {name}")]
    LookUp {
        /// The name.
        name: String,
        /// What the resolver said.
        source: NetError,
    },
    /// The system's resolver configuration cannot be read.
    #[error("cannot read the system's resolver configuration")]
    SystemConfiguration(#[source] NetError),
}

/// Looks up A and AAAA records.
///
/// ```
/// use std::time::Duration;
/// use obit::resolve::Dns;
///
/// let resolver = Dns::new("demo-api-headless.default.svc.cluster.local.", 50051)
///     .name_server("198.18.0.53:53".parse().unwrap())
///     .ttl_bounds(Duration::from_secs(1), Duration::from_secs(30));
/// ```
#[derive(Debug, Clone)]
pub struct Dns {
    name: String,
    port: u16,
    name_server: Option<SocketAddr>,
    pace: Pace,
}

impl Dns {
    /// The addresses of `name` (with the system's search list, unless it ends in a dot), each serving on `port`. An IP
    /// address is taken as it is and never looked up.
    #[must_use]
    pub fn new(name: impl Into<String>, port: u16) -> Self {
        Self {
            name: name.into(),
            port,
            name_server: None,
            pace: Pace::default(),
        }
    }

    /// Asks this name server, over UDP and where needed TCP. Default: those of `/etc/resolv.conf`.
    #[must_use]
    pub fn name_server(mut self, address: SocketAddr) -> Self {
        self.name_server = Some(address);
        self
    }

    /// A look-up is repeated after the answer's TTL, but not earlier than `least` nor later than `most`. Default: 1 s and
    /// 30 s.
    #[must_use]
    pub fn ttl_bounds(mut self, least: Duration, most: Duration) -> Self {
        self.pace.least = least;
        self.pace.most = most.max(least);
        self
    }

    /// The least time between two look-ups when an endpoint went bad. Default: 1 s.
    #[must_use]
    pub fn trouble_interval(mut self, interval: Duration) -> Self {
        self.pace.trouble = interval;
        self
    }

    fn resolver(&self) -> Result<TokioResolver, NetError> {
        let mut builder = match self.name_server {
            None => TokioResolver::builder_tokio()?,
            Some(address) => {
                let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
                    connection.port = address.port();
                    connection
                });
                let server = NameServerConfig::new(address.ip(), true, connections.to_vec());
                let config = ResolverConfig::from_name_servers(vec![server]);
                TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
            }
        };
        let options = builder.options_mut();
        // The pace is kept here. A cache would answer "look again" with what is already known to be wrong.
        options.cache_size = 0;
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        options.timeout = Duration::from_secs(2);
        builder.build()
    }

    /// The endpoints and their TTL.
    async fn look_up(&self, resolver: &mut Option<TokioResolver>) -> Result<(Vec<Endpoint>, Duration), DnsError> {
        if resolver.is_none() {
            *resolver = Some(self.resolver().map_err(DnsError::SystemConfiguration)?);
        }
        let failed = |source| DnsError::LookUp {
            name: self.name.clone(),
            source,
        };
        let Some(resolver) = resolver else {
            return Ok((Vec::new(), Duration::ZERO));
        };
        let answer = resolver.lookup_ip(self.name.as_str()).await.map_err(failed)?;
        let ttl = answer
            .as_lookup()
            .answers()
            .iter()
            .map(|record| record.ttl)
            .min()
            .unwrap_or(0);
        let endpoints = answer.iter().map(|ip| Endpoint::new(SocketAddr::new(ip, self.port)));
        Ok((endpoints.collect(), Duration::from_secs(ttl.into())))
    }
}

impl Resolve for Dns {
    fn run(self: Box<Self>, mut sets: Sets) -> Resolving {
        Box::pin(async move {
            if let Ok(ip) = self.name.trim_matches(['[', ']']).parse::<IpAddr>() {
                sets.publish(vec![Endpoint::new(SocketAddr::new(ip, self.port))]).await;
                return;
            }
            let mut resolver = None;
            let mut failures = 0;
            loop {
                let begun = clock::now();
                let pause = match self.look_up(&mut resolver).await {
                    Ok((endpoints, ttl)) => {
                        failures = 0;
                        sets.publish(endpoints).await;
                        self.pace.after_answer(ttl)
                    }
                    Err(error) => {
                        // The system's configuration may have changed; read it again.
                        resolver = None;
                        failures += 1;
                        sets.failed(error).await;
                        self.pace.after_failure(failures)
                    }
                };
                let trouble = async {
                    sets.trouble().await;
                    tokio::time::sleep_until(begun + self.pace.trouble).await;
                };
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = trouble => {}
                }
            }
        })
    }
}

/// When to look up again. Pure.
#[derive(Debug, Clone, Copy)]
struct Pace {
    least: Duration,
    most: Duration,
    trouble: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            least: Duration::from_secs(1),
            most: Duration::from_secs(30),
            trouble: Duration::from_secs(1),
        }
    }
}

impl Pace {
    fn after_answer(&self, ttl: Duration) -> Duration {
        ttl.clamp(self.least, self.most)
    }

    /// From a quarter of a second, doubling up to ten.
    fn after_failure(&self, failures: u32) -> Duration {
        let first = Duration::from_millis(250);
        first
            .saturating_mul(1 << failures.saturating_sub(1).min(6))
            .min(Duration::from_secs(10))
            .min(self.most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_kept_for_its_ttl_within_bounds() {
        let pace = Pace::default();
        assert_eq!(pace.after_answer(Duration::ZERO), Duration::from_secs(1));
        assert_eq!(pace.after_answer(Duration::from_secs(5)), Duration::from_secs(5));
        assert_eq!(pace.after_answer(Duration::from_secs(3600)), Duration::from_secs(30));
    }

    #[test]
    fn failures_are_retried_soon_and_then_less_often() {
        let pace = Pace::default();
        let pauses: Vec<_> = (1..9)
            .map(|failures| pace.after_failure(failures).as_millis())
            .collect();
        assert_eq!(pauses, [250, 500, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000]);
    }
}
