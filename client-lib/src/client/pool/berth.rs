//! One endpoint in rotation: its connections that take calls, and how it comes by more of them.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::Notify;

use super::lane::Lane;
use super::slot::Slot;
use crate::client::policy::Loads;

/// The connections of one endpoint that take calls. Never none; most often one.
#[derive(Debug, Clone)]
pub(crate) struct Berth {
    first: Arc<Lane>,
    more: Box<[Arc<Lane>]>,
    growth: Option<Arc<Growth>>,
}

impl Berth {
    /// `None` without a connection.
    pub(crate) fn of(mut lanes: impl Iterator<Item = Arc<Lane>>, growth: Option<Arc<Growth>>) -> Option<Self> {
        Some(Self {
            first: lanes.next()?,
            more: lanes.collect(),
            growth,
        })
    }

    pub(crate) fn peer(&self) -> SocketAddr {
        self.first.peer()
    }

    /// What its connections carry, for policies.
    pub(crate) fn loads(&self) -> Loads {
        let more = self.more.iter().map(|lane| lane.load().clone());
        Loads::of(self.first.load().clone(), more)
    }

    /// A free stream, of the connection that carries least. Where all are full, another connection is asked for.
    pub(crate) fn slot(&self) -> Option<Slot> {
        let slot = if self.more.is_empty() {
            Slot::of(&self.first)
        } else {
            let open = self.lanes().filter(|lane| lane.is_open() && !lane.load().is_full());
            let least = open.min_by_key(|lane| lane.in_flight()).and_then(Slot::of);
            // Somebody else may have been faster.
            least.or_else(|| self.lanes().find_map(Slot::of))
        };
        if slot.is_none()
            && let Some(growth) = &self.growth
            && self.lanes().any(|lane| lane.is_single() && lane.is_open())
        {
            growth.wanted.notify_one();
        }
        slot
    }

    /// How many of its connections carry nothing.
    pub(super) fn unused(&self) -> usize {
        self.lanes()
            .filter(|lane| lane.is_open() && lane.in_flight() == 0)
            .count()
    }

    fn lanes(&self) -> impl Iterator<Item = &Arc<Lane>> {
        std::iter::once(&self.first).chain(&self.more)
    }
}

/// How calls that find an endpoint's connections full tell the endpoint.
#[derive(Debug, Default)]
pub(crate) struct Growth {
    wanted: Notify,
}

impl Growth {
    /// Waits until a call found the endpoint full since this was last waited for. Cancel safe.
    pub(super) async fn wanted(&self) {
        self.wanted.notified().await;
    }
}
