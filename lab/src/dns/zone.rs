//! The zone `lab.obit.test`: one name with an A record for each ready pod.

use std::net::Ipv4Addr;
use std::str::FromStr as _;
use std::sync::Arc;

use hickory_server::proto::rr::rdata::{A, SOA};
use hickory_server::proto::rr::{LowerName, Name, RData, Record, RecordSet, RecordType, RrKey};
use hickory_server::store::in_memory::InMemoryZoneHandler;
use hickory_server::zone_handler::{AxfrPolicy, Catalog, ZoneType};

use super::{NAME, TTL_SECONDS};

/// The zone's apex.
const ORIGIN: &str = "lab.obit.test.";

/// The records, shared with the server that answers from them.
#[derive(Clone)]
pub struct Zone {
    records: Arc<InMemoryZoneHandler>,
    origin: Name,
    name: Name,
}

impl Zone {
    /// A zone that names `pods`.
    ///
    /// # Errors
    /// When one of the lab's own names does not parse.
    pub async fn new(pods: &[Ipv4Addr]) -> Result<Self, hickory_server::proto::ProtoError> {
        let origin = Name::from_str(ORIGIN)?;
        let name = Name::from_str(NAME)?;
        let records = InMemoryZoneHandler::empty(origin.clone(), ZoneType::Primary, AxfrPolicy::Deny);
        let soa = SOA::new(origin.clone(), origin.clone(), 1, 3600, 600, 86_400, TTL_SECONDS);
        records
            .upsert(Record::from_rdata(origin.clone(), TTL_SECONDS, RData::SOA(soa)), 1)
            .await;
        let zone = Self {
            records: Arc::new(records),
            origin,
            name,
        };
        for pod in pods {
            zone.name(*pod).await;
        }
        Ok(zone)
    }

    /// Names `pod` from now on.
    pub async fn name(&self, pod: Ipv4Addr) {
        self.records.upsert(self.record(pod), 1).await;
    }

    /// The catalogue a server answers from.
    #[must_use]
    pub fn catalog(&self) -> Catalog {
        let mut catalog = Catalog::new();
        catalog.upsert(LowerName::new(&self.origin), vec![self.records.clone()]);
        catalog
    }

    /// The pods the zone names now.
    pub async fn pods(&self) -> Vec<Ipv4Addr> {
        let records = self.records.records().await;
        let set = records.get(&self.key()).map(|set| set.records_without_rrsigs());
        set.into_iter()
            .flatten()
            .filter_map(|record| match &record.data {
                RData::A(A(address)) => Some(*address),
                _ => None,
            })
            .collect()
    }

    /// Names `pod` no longer.
    pub async fn forget(&self, pod: Ipv4Addr) {
        let kept: Vec<_> = self
            .pods()
            .await
            .into_iter()
            .filter(|address| *address != pod)
            .collect();
        let mut set = RecordSet::new(self.name.clone(), RecordType::A, 1);
        for address in kept {
            set.insert(self.record(address), 1);
        }
        self.records.records_mut().await.insert(self.key(), Arc::new(set));
    }

    fn record(&self, pod: Ipv4Addr) -> Record {
        Record::from_rdata(self.name.clone(), TTL_SECONDS, RData::A(A(pod)))
    }

    fn key(&self) -> RrKey {
        RrKey::new(LowerName::new(&self.name), RecordType::A)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_forgotten_pod_is_named_no_longer_and_the_others_are() {
        let pods = [Ipv4Addr::new(198, 18, 1, 1), Ipv4Addr::new(198, 18, 1, 2)];
        let zone = Zone::new(&pods).await.unwrap();
        assert_eq!(zone.pods().await, pods);
        zone.forget(pods[0]).await;
        assert_eq!(zone.pods().await, [pods[1]]);
        zone.forget(pods[0]).await;
        assert_eq!(zone.pods().await, [pods[1]]);
        zone.name(pods[0]).await;
        zone.name(pods[0]).await;
        assert_eq!(zone.pods().await, [pods[1], pods[0]]);
    }
}
