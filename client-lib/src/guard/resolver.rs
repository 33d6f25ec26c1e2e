//! Names for reqwest: it dials by itself, and asks here whom.

use std::net::SocketAddr;
use std::sync::Arc;

use ::reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::ProcessGuard;
use crate::clock;
use crate::connector::{best, dial_order};

/// The system's resolver, with what the guard knows: those of a name's addresses that take work, then the doubtful; the
/// dead are left out, unless all are. The guard watches each of them from then on, so that a dial it has never seen ends with
/// its peer too.
///
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let guard = obit::guard_process()?;
/// let client = reqwest::Client::builder().dns_resolver(guard.resolver([8080])).build()?;
/// # drop(client);
/// # Ok(())
/// # }
/// ```
///
/// It keeps its guard. URLs with an IP address for a host are dialled unasked; their connections are guarded like all.
#[derive(Debug, Clone)]
pub struct Resolver {
    guard: ProcessGuard,
    ports: Arc<[u16]>,
}

impl ProcessGuard {
    /// Resolves for reqwest, which does not say what port the URL names: these are the ports of the services the client
    /// calls. Dead is who is dead at each of them.
    #[must_use]
    pub fn resolver(&self, ports: impl IntoIterator<Item = u16>) -> Resolver {
        Resolver {
            guard: self.clone(),
            ports: ports.into_iter().collect(),
        }
    }
}

impl Resolver {
    fn order(&self, addresses: impl Iterator<Item = SocketAddr>) -> Vec<SocketAddr> {
        let now = clock::now();
        let health = |address: SocketAddr, port| {
            let peer = SocketAddr::new(address.ip(), port);
            self.guard.0.peers.expect(peer, now).verdict
        };
        let known = addresses.map(|address| (address, best(self.ports.iter().map(|port| health(address, *port)))));
        dial_order(&known.collect::<Vec<_>>())
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let resolver = self.clone();
        Box::pin(async move {
            // Port 0: the URL's.
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let addresses: Addrs = Box::new(resolver.order(found).into_iter());
            Ok(addresses)
        })
    }
}
