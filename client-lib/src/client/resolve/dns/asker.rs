//! The shell around hickory: asks about one name at a time, and knows a "no" from a failure.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures_util::{FutureExt as _, StreamExt as _, stream};
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError as NetDnsError, NetError};
use hickory_resolver::proto::op::{Query, ResponseCode};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use hickory_resolver::system_conf::read_system_conf;
use hickory_resolver::{Hosts, TokioResolver};

use super::srv;
use crate::client::resolve::family::Family;
use crate::client::resolve::{Endpoint, IpFamily};

/// How long one question may take before it is asked once more.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long one question may take in all.
pub(super) const QUESTION_TIMEOUT: Duration = Duration::from_secs(4);

/// How many targets of SRV records are looked up at once.
const TARGETS_AT_ONCE: usize = 16;

/// What a name server said that has an end.
pub(super) struct Answer {
    pub(super) endpoints: Vec<Endpoint>,
    pub(super) ttl: Duration,
}

/// Why there is no answer to a question.
#[derive(Debug, Clone)]
pub(super) enum Miss {
    NoSuchName,
    NoRecords,
    Failed(NetError),
}

impl From<NetError> for Miss {
    fn from(error: NetError) -> Self {
        match &error {
            NetError::Dns(NetDnsError::NoRecordsFound(no)) => match no.response_code {
                ResponseCode::NXDomain => Self::NoSuchName,
                _ => Self::NoRecords,
            },
            _ => Self::Failed(error),
        }
    }
}

struct Found {
    addresses: Vec<IpAddr>,
    /// Seconds.
    ttl: u32,
}

/// A resolver, and what it has learnt.
pub(super) struct Asker {
    resolver: TokioResolver,
    hosts: Hosts,
    search: Vec<Name>,
    ndots: usize,
    family: IpFamily,
    /// The name that answered last: when it fails, no other one is meant by that.
    pub(super) answered: Option<Name>,
    /// The addresses of the SRV targets in the last answer.
    targets: HashMap<Name, Vec<IpAddr>>,
}

impl Asker {
    pub(super) fn new(name_server: Option<SocketAddr>, family: IpFamily) -> Result<Self, NetError> {
        let (config, mut options) = match name_server {
            None => read_system_conf()?,
            Some(address) => (only(address), ResolverOpts::default()),
        };
        let (domain, mut search, name_servers) = config.into_parts();
        if search.is_empty() {
            search.extend(domain);
        }
        let ndots = options.ndots;
        // The pace is kept elsewhere. A cache would answer "look again" with what is already known to be wrong.
        options.cache_size = 0;
        options.timeout = PATIENCE;
        options.attempts = 1;
        options.use_hosts_file = ResolveHosts::Never;
        let config = ResolverConfig::from_parts(None, Vec::new(), name_servers);
        let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        *builder.options_mut() = options;
        Ok(Self {
            resolver: builder.build()?,
            // Without one there are no names in it.
            hosts: Hosts::from_system().unwrap_or_default(),
            search,
            ndots,
            family,
            answered: None,
            targets: HashMap::new(),
        })
    }

    /// Reads the system's configuration again: it may have changed. What was learnt stays, and so does the configuration
    /// where it cannot be read.
    pub(super) fn renew(&mut self, name_server: Option<SocketAddr>) {
        if let Ok(renewed) = Self::new(name_server, self.family) {
            *self = Self {
                answered: self.answered.take(),
                targets: std::mem::take(&mut self.targets),
                ..renewed
            };
        }
    }

    pub(super) fn search(&self) -> &[Name] {
        &self.search
    }

    pub(super) fn ndots(&self) -> usize {
        self.ndots
    }

    /// The addresses of `name`, each serving on `port`.
    pub(super) async fn hosts(&self, name: &Name, port: u16) -> Result<Answer, Miss> {
        let Found { addresses, ttl } = self.addresses(name).await?;
        let endpoint = |ip| Endpoint::new(SocketAddr::new(ip, port));
        Ok(Answer {
            endpoints: addresses.into_iter().map(endpoint).collect(),
            ttl: seconds(ttl),
        })
    }

    /// What the SRV records of `name` lead to: the first group of them any of whose targets has an address.
    pub(super) async fn services(&mut self, name: &Name) -> Result<Answer, Miss> {
        let lookup = self.resolver.lookup(name.clone(), RecordType::SRV).await?;
        let mut ttl = least_ttl(lookup.answers());
        let records = lookup.answers().iter().filter_map(|record| match &record.data {
            RData::SRV(srv) => Some(srv.clone()),
            _ => None,
        });
        let groups = srv::groups(records);
        // "Decidedly not available" is an answer.
        let mut miss = None;
        for group in &groups {
            let mut addresses = HashMap::new();
            let asking: Vec<_> = group
                .iter()
                .map(|record| self.target(&record.target, &lookup).boxed())
                .collect();
            let mut asking = stream::iter(asking).buffer_unordered(TARGETS_AT_ONCE);
            while let Some((target, found)) = asking.next().await {
                match found {
                    Ok(found) => {
                        ttl = ttl.min(found.ttl);
                        addresses.insert(target, found.addresses);
                    }
                    Err(Miss::Failed(error)) => {
                        // An old address may still serve, no address never does.
                        if let Some(known) = self.targets.get(&target) {
                            addresses.insert(target, known.clone());
                        }
                        miss = Some(Miss::Failed(error));
                        ttl = 0;
                    }
                    Err(no) => miss = miss.or(Some(no)),
                }
            }
            drop(asking);
            let endpoints = srv::endpoints(group, |target| addresses.get(target).cloned().unwrap_or_default());
            if !endpoints.is_empty() {
                self.targets = addresses;
                return Ok(Answer {
                    endpoints,
                    ttl: seconds(ttl),
                });
            }
        }
        match miss {
            Some(miss) => Err(miss),
            None => Ok(Answer {
                endpoints: Vec::new(),
                ttl: seconds(ttl),
            }),
        }
    }

    /// The addresses of a target, from what came with the SRV records or by a question of its own.
    async fn target(&self, target: &Name, lookup: &Lookup) -> (Name, Result<Found, Miss>) {
        let along: Vec<_> = lookup
            .additionals()
            .iter()
            .filter(|record| record.name == *target)
            .cloned()
            .collect();
        let addresses = self.family.choose(|family| addresses_of(family, &along));
        let found = if addresses.is_empty() {
            self.addresses(target).await
        } else {
            Ok(Found {
                addresses,
                ttl: least_ttl(&along),
            })
        };
        (target.clone(), found)
    }

    /// The addresses of `name` in the families that count. Where one family is enough, the second is asked for only when a
    /// name server said that there is nothing of the first: a failure is no reason to leave one family for the other.
    ///
    /// The hosts file is asked before and for all of them: a name that is in it with one address is not to be asked about in
    /// DNS for want of another.
    async fn addresses(&self, name: &Name) -> Result<Found, Miss> {
        let addresses = self.family.choose(|family| self.in_hosts(family, name));
        if !addresses.is_empty() {
            return Ok(Found {
                addresses,
                ttl: u32::MAX,
            });
        }
        let all = self.family == IpFamily::All;
        let mut all_found: Option<Found> = None;
        for family in self.family.order() {
            match self.of_family(*family, name).await {
                Ok(found) if !all => return Ok(found),
                Ok(found) => {
                    let sum = all_found.get_or_insert(Found {
                        addresses: Vec::new(),
                        ttl: u32::MAX,
                    });
                    sum.addresses.extend(found.addresses);
                    sum.ttl = sum.ttl.min(found.ttl);
                }
                Err(Miss::NoRecords) => {}
                // Of a name that does not exist nothing of another kind exists either.
                Err(miss) => return Err(miss),
            }
        }
        all_found.ok_or(Miss::NoRecords)
    }

    fn in_hosts(&self, family: Family, name: &Name) -> Vec<IpAddr> {
        let query = Query::query(name.clone(), kind(family));
        let found = self.hosts.lookup_static_host(&query);
        found.map_or_else(Vec::new, |lookup| addresses_of(family, lookup.answers()))
    }

    async fn of_family(&self, family: Family, name: &Name) -> Result<Found, Miss> {
        let lookup = self.resolver.lookup(name.clone(), kind(family)).await?;
        let addresses = addresses_of(family, lookup.answers());
        if addresses.is_empty() {
            return Err(Miss::NoRecords);
        }
        Ok(Found {
            addresses,
            ttl: least_ttl(lookup.answers()),
        })
    }
}

fn kind(family: Family) -> RecordType {
    match family {
        Family::V4 => RecordType::A,
        Family::V6 => RecordType::AAAA,
    }
}

fn only(name_server: SocketAddr) -> ResolverConfig {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
        connection.port = name_server.port();
        connection
    });
    let server = NameServerConfig::new(name_server.ip(), true, connections.to_vec());
    ResolverConfig::from_name_servers(vec![server])
}

/// Those that name one peer: `0.0.0.0`, for one, is what a filter says in place of an address, and would be dialled here.
fn addresses_of(family: Family, records: &[Record]) -> Vec<IpAddr> {
    let of_family = records.iter().filter_map(|record| match (&record.data, family) {
        (RData::A(address), Family::V4) => Some(IpAddr::V4(address.0)),
        (RData::AAAA(address), Family::V6) => Some(IpAddr::V6(address.0)),
        _ => None,
    });
    of_family
        .filter(|ip| !ip.is_unspecified() && !ip.is_multicast())
        .collect()
}

fn least_ttl(records: &[Record]) -> u32 {
    records.iter().map(|record| record.ttl).min().unwrap_or(0)
}

fn seconds(ttl: u32) -> Duration {
    Duration::from_secs(ttl.into())
}
