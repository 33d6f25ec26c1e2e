//! A service as its watcher sees it: the handle, what is known, and why nothing is.

use std::sync::Arc;

use obit_protocol as wire;
use tokio::sync::watch;

use super::Feed;
use crate::service::{Service, ServiceEndpoint};

/// Why the monitor tells no endpoints of a service.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ServiceError {
    /// No monitor is heard.
    #[error(
        "no monitor tells the endpoints of {service}: run one on this node, or name another resolver with `Monitor::or`"
    )]
    NoMonitor {
        /// The service.
        service: Service,
    },
    /// The monitor does not know of services.
    #[error(
        "this node's monitor is too old to tell the endpoints of {service}: upgrade it, or name another resolver with `Monitor::or`"
    )]
    OldMonitor {
        /// The service.
        service: Service,
    },
    /// There cannot be such a service; the monitor was not asked.
    #[error("{service} cannot be a service: {source}")]
    Invalid {
        /// The service.
        service: Service,
        /// What is wrong with it.
        source: wire::ServiceError,
    },
    /// What the monitor says.
    #[error("the monitor tells no endpoints of {service}: {detail}")]
    Told {
        /// The service.
        service: Service,
        /// Why.
        reason: ServiceReason,
        /// A sentence for the log: what is wrong and what to do.
        detail: String,
    },
}

impl ServiceError {
    /// Whether this is the answer that there are no endpoints, in contrast to none.
    #[must_use]
    pub fn is_negative_answer(&self) -> bool {
        let negative = [ServiceReason::NoSuchService, ServiceReason::NoSuchPort];
        matches!(self, Self::Told { reason, .. } if negative.contains(reason))
    }
}

/// Why the monitor, asked about a service, has no endpoints to tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ServiceReason {
    /// It does not watch Kubernetes.
    NoKubernetes,
    /// There is no such service, or nothing belongs to it.
    NoSuchService,
    /// The service has no such TCP port.
    NoSuchPort,
    /// It, or this process, may not read the service.
    NotAllowed,
    /// The Kubernetes API has not answered it yet.
    Unavailable,
    /// This process watches as many services as it may.
    TooManyServices,
    /// Something that only a newer version of this crate knows.
    Other,
}

/// What is known of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServiceState {
    /// Nothing: no monitor has answered yet.
    Unknown,
    /// The endpoints, as last told. They stay when the monitor goes away; whether it is heard is the
    /// [feed's status](Feed::status).
    #[non_exhaustive]
    Known {
        /// All of them.
        endpoints: Arc<[ServiceEndpoint]>,
        /// Where the monitor has lost the Kubernetes API, since when: `CLOCK_MONOTONIC`, nanoseconds.
        stale_since_ns: Option<u64>,
    },
    /// There are none to tell.
    Failed(ServiceError),
}

/// The endpoints of one service, from [`Feed::watch_service`]. The monitor is asked about it for as long as one such handle
/// lives.
#[derive(Debug)]
pub struct ServiceWatch {
    feed: Feed,
    service: Service,
    state: watch::Receiver<ServiceState>,
}

impl ServiceWatch {
    pub(super) fn new(feed: &Feed, service: Service) -> Self {
        Self {
            state: feed.table().lease_service(&service),
            feed: feed.clone(),
            service,
        }
    }

    /// The service.
    #[must_use]
    pub fn service(&self) -> &Service {
        &self.service
    }

    /// What is known of it now.
    #[must_use]
    pub fn state(&self) -> ServiceState {
        self.state.borrow().clone()
    }

    /// Waits until something is told since this handle last returned here (since its creation, at first), and returns the
    /// newest. What is told in between may be skipped.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: a change not returned is returned by the next call.
    pub async fn changed(&mut self) -> ServiceState {
        if self.state.changed().await.is_err() {
            // The sender lives in the table for as long as this handle.
            std::future::pending::<()>().await;
        }
        self.state.borrow_and_update().clone()
    }
}

impl Drop for ServiceWatch {
    fn drop(&mut self) {
        self.feed.table().release_service(&self.service);
    }
}
