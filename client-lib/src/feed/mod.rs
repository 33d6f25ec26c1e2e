//! The feed: the subscription to the node's monitor, and the health map it fills. Left of it on the data path is the
//! unix socket, right of it everything that connects: pools, layers, connectors.
//!
//! ```text
//! monitor ══Notice══▶ task ──▶ state (pure) ──▶ health map ──▶ PeerWatch (request path)
//!                                                         └──▶ links: kill switches of dials and connections
//! ```
//!
//! A feed never fails. Without a monitor it is *blind*: every peer is [`Unknown`](crate::Verdict::Unknown), and whoever
//! uses it works from evidence of its own.

mod builder;
mod cell;
mod link;
mod service_watch;
mod services;
mod state;
mod status;
mod table;
mod task;
mod watch;
mod wire;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch::Receiver;
use tokio::task::AbortHandle;

pub use builder::FeedBuilder;
pub(crate) use link::{Arrival, Ear, Link};
pub use service_watch::{ServiceError, ServiceReason, ServiceState, ServiceWatch};
pub(crate) use state::MAX_WATCHED_PEERS;
pub use status::FeedStatus;
use table::Table;
pub use watch::PeerWatch;
pub(crate) use watch::Registration;

use crate::clock;
pub use crate::service::{Port, Service, ServiceEndpoint};

/// A subscription to the node's monitor. Cheap to clone; ends when the last handle, watch and connection made with it
/// are gone.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let feed = obit::Feed::connect("/run/obit/obit.sock");
/// let watch = feed.watch("198.18.0.7:8080".parse().unwrap());
/// if watch.health().verdict.takes_work() {
///     // dial it
/// }
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Feed {
    shared: Arc<Shared>,
    status: Receiver<FeedStatus>,
}

#[derive(Debug)]
struct Shared {
    table: Arc<Table>,
    task: Option<AbortHandle>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

static GLOBAL: Mutex<Option<Feed>> = Mutex::new(None);

impl Feed {
    /// Subscribes to the monitor at `path`. Never fails: without a monitor the feed is blind and keeps trying.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    #[must_use = "a feed ends when its last handle is dropped"]
    pub fn connect(path: impl Into<PathBuf>) -> Self {
        Self::builder().path(path).connect()
    }

    /// Settings for a feed other than the default one.
    pub fn builder() -> FeedBuilder {
        FeedBuilder::default()
    }

    /// Subscribes to the monitor named by the environment's `OBIT_SOCKET`, else the one at `/run/obit/obit.sock`.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    #[must_use = "a feed ends when its last handle is dropped"]
    pub fn from_env() -> Self {
        Self::builder().connect()
    }

    /// The process's own feed, as [`from_env`](Self::from_env): started at first use, and again if the runtime it was
    /// started on has ended.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime, if it has to be started.
    #[must_use]
    pub fn global() -> Self {
        let mut global = GLOBAL.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(feed) = global.as_ref().filter(|feed| feed.is_running()) {
            return feed.clone();
        }
        global.insert(Self::from_env()).clone()
    }

    /// A feed without a monitor: always blind. For tests, and for whoever wants this crate without one.
    #[must_use]
    pub fn offline() -> Self {
        Self::with_task(Arc::new(Table::new(clock::now(), false)), None)
    }

    fn start(settings: FeedBuilder) -> Self {
        let table = Arc::new(Table::new(clock::now(), true));
        let task = tokio::spawn(task::run(table.clone(), settings));
        Self::with_task(table, Some(task.abort_handle()))
    }

    fn with_task(table: Arc<Table>, task: Option<AbortHandle>) -> Self {
        let status = table.status().subscribe();
        Self {
            shared: Arc::new(Shared { table, task }),
            status,
        }
    }

    fn is_running(&self) -> bool {
        self.shared.task.as_ref().is_some_and(|task| !task.is_finished())
    }

    /// Watches `peer` until the last handle on it is dropped. The monitor is asked at once and answers within
    /// microseconds; until then the peer is [`Unknown`](crate::Verdict::Unknown).
    ///
    /// Addresses no monitor can speak of (port 0, unspecified, multicast) stay unknown, and so do peers beyond the
    /// 16 384 a monitor accepts from one subscriber.
    #[must_use = "the peer is watched only while the handle lives"]
    pub fn watch(&self, peer: SocketAddr) -> PeerWatch {
        PeerWatch::new(self, obit_protocol::normalise(peer))
    }

    /// Watches the endpoints of a Kubernetes service until the last handle on it is dropped, where the monitor watches
    /// Kubernetes. [`resolve::Monitor`](crate::resolve::Monitor) makes a resolver of it.
    #[must_use = "the service is watched only while the handle lives"]
    pub fn watch_service(&self, service: Service) -> ServiceWatch {
        ServiceWatch::new(self, service)
    }

    /// Whether a monitor is heard.
    #[must_use]
    pub fn status(&self) -> FeedStatus {
        self.status.borrow().clone()
    }

    /// Waits until the status differs from what this handle last returned here (from its creation, at first), and
    /// returns the newest.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: a change not returned is returned by the next call.
    pub async fn status_changed(&mut self) -> FeedStatus {
        if self.status.changed().await.is_err() {
            // The sender lives in the table this handle holds.
            std::future::pending::<()>().await;
        }
        self.status.borrow_and_update().clone()
    }

    fn table(&self) -> &Table {
        &self.shared.table
    }
}
