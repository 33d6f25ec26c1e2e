//! Where endpoints come from. A resolver names the whole set each time; who of them is dead is not its business: a death
//! is an overlay on the set, never an edit of it.

mod dns;
mod family;
mod fixed;
mod monitor;
mod pods;
mod running;
#[cfg(feature = "kube")]
mod slices;

use std::error::Error as StdError;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::{Notify, mpsc};

pub use dns::{Dns, DnsError};
pub use family::IpFamily;
pub use fixed::Fixed;
pub use monitor::Monitor;
pub use running::{Running, Update};
#[cfg(feature = "kube")]
pub use slices::{EndpointSlices, SlicesError};

pub use crate::service::Port;

/// One address that serves, and what its resolver knows of it.
///
/// ```
/// use obit::resolve::Endpoint;
///
/// let endpoint = Endpoint::new("10.0.0.7:50051".parse().unwrap()).with_weight(2).with_zone("eu-1a");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Endpoint {
    address: SocketAddr,
    weight: u32,
    zone: Option<Arc<str>>,
    zone_hints: Arc<[Arc<str>]>,
}

impl Endpoint {
    /// An endpoint at `address`.
    #[must_use]
    pub fn new(address: SocketAddr) -> Self {
        Self {
            address,
            weight: 1,
            zone: None,
            zone_hints: Arc::default(),
        }
    }

    /// How large its share of the calls is, in relation to the others'. Default: 1. An endpoint of weight 0 is connected
    /// to, and takes nothing unless nobody else is in rotation.
    #[must_use]
    pub fn with_weight(self, weight: u32) -> Self {
        Self { weight, ..self }
    }

    /// Where it runs. Default: not known.
    #[must_use]
    pub fn with_zone(self, zone: impl Into<Arc<str>>) -> Self {
        Self {
            zone: Some(zone.into()),
            ..self
        }
    }

    /// The zones whose clients are meant to use it (in Kubernetes `hints.forZones`, which a service with `trafficDistribution`
    /// has). Default: none, it is meant for everybody.
    #[must_use]
    pub fn with_zone_hints(self, zones: impl IntoIterator<Item = Arc<str>>) -> Self {
        Self {
            zone_hints: zones.into_iter().collect(),
            ..self
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its share of the calls, in relation to the others'.
    #[must_use]
    pub fn weight(&self) -> u32 {
        self.weight
    }

    /// Where it runs, where that is known.
    #[must_use]
    pub fn zone(&self) -> Option<&Arc<str>> {
        self.zone.as_ref()
    }

    /// The zones whose clients are meant to use it; none where that is not said.
    #[must_use]
    pub fn zone_hints(&self) -> &[Arc<str>] {
        &self.zone_hints
    }

    pub(crate) fn shared_zone_hints(&self) -> Arc<[Arc<str>]> {
        Arc::clone(&self.zone_hints)
    }

    /// The same with its address in the form in which the client compares addresses: v4 where v6 only wraps it.
    pub(crate) fn normalised(self) -> Self {
        Self {
            address: obit_protocol::normalise(self.address),
            ..self
        }
    }
}

impl From<SocketAddr> for Endpoint {
    fn from(address: SocketAddr) -> Self {
        Self::new(address)
    }
}

/// What a resolver's [`run`](Resolve::run) returns.
pub type Resolving = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A source of endpoints.
///
/// ```
/// use obit::resolve::{Endpoint, Resolve, Resolving, Sets};
///
/// /// The endpoints in a file, read again whenever something goes wrong.
/// struct Listed(std::path::PathBuf);
///
/// impl Resolve for Listed {
///     fn run(self: Box<Self>, mut sets: Sets) -> Resolving {
///         Box::pin(async move {
///             loop {
///                 match tokio::fs::read_to_string(&self.0).await {
///                     Ok(text) => {
///                         let addresses = text.lines().filter_map(|line| line.parse().ok());
///                         sets.publish(addresses.map(Endpoint::new).collect()).await;
///                     }
///                     Err(error) => sets.failed(error).await,
///                 }
///                 sets.trouble().await;
///             }
///         })
///     }
/// }
/// ```
pub trait Resolve: Send + 'static {
    /// Publishes the full set of endpoints now and whenever it changes. The future is dropped with the client; one that
    /// completes has said its last word, and its last set stays.
    fn run(self: Box<Self>, sets: Sets) -> Resolving;
}

/// A resolver's way to the client.
#[derive(Debug)]
pub struct Sets {
    updates: mpsc::Sender<Update>,
    trouble: Arc<Notify>,
}

impl Sets {
    pub(crate) fn new(updates: mpsc::Sender<Update>, trouble: Arc<Notify>) -> Self {
        Self { updates, trouble }
    }

    /// These are the endpoints, all of them. Those named before and not now leave: their calls in flight are drained. One
    /// whose weight or zone changed keeps its connection.
    pub async fn publish(&mut self, endpoints: Vec<Endpoint>) {
        // Nobody listening: the client is gone, and this future with it.
        let _ = self.updates.send(Update::Endpoints(endpoints)).await;
    }

    /// The endpoints could not be found out. Those known stay.
    pub async fn failed(&mut self, error: impl StdError + Send + Sync + 'static) {
        let _ = self.updates.send(Update::Failed(Arc::new(error))).await;
    }

    /// Waits until an endpoint went bad since the last call: a reason to look again, not faster than the source can
    /// bear.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: trouble not returned is returned by the next call.
    pub async fn trouble(&mut self) {
        self.trouble.notified().await;
    }
}
