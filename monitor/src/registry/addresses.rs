//! Which addresses the subscribers of each network namespace watch: by how many peers (ports) each.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::sighting::NetnsCookie;

/// Counts only namespaces that are known.
#[derive(Debug, Default)]
pub(super) struct Addresses(HashMap<NetnsCookie, HashMap<IpAddr, usize>>);

impl Addresses {
    /// A namespace watches one peer more.
    pub(super) fn add(&mut self, netns: Option<NetnsCookie>, ip: IpAddr) {
        if let Some(netns) = netns {
            *self.0.entry(netns).or_default().entry(ip).or_default() += 1;
        }
    }

    /// A namespace watches one peer less.
    pub(super) fn remove(&mut self, netns: Option<NetnsCookie>, ip: IpAddr) {
        let Some(netns) = netns else {
            return;
        };
        let Some(of_netns) = self.0.get_mut(&netns) else {
            return;
        };
        if let Some(peers) = of_netns.get_mut(&ip) {
            *peers -= 1;
            if *peers == 0 {
                of_netns.remove(&ip);
            }
        }
        if of_netns.is_empty() {
            self.0.remove(&netns);
        }
    }

    /// How many a namespace watches, and whether `ip` is one of them.
    pub(super) fn count(&self, netns: NetnsCookie, ip: IpAddr) -> (usize, bool) {
        let of_netns = self.0.get(&netns);
        of_netns.map_or((0, false), |of_netns| (of_netns.len(), of_netns.contains_key(&ip)))
    }

    /// Those a namespace watches.
    pub(super) fn of(&self, netns: NetnsCookie) -> impl Iterator<Item = IpAddr> + '_ {
        self.0
            .get(&netns)
            .into_iter()
            .flat_map(|of_netns| of_netns.keys().copied())
    }
}
