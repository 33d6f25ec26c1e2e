//! The whole answer, at the end of the data path: resolver → endpoints → policy → retry, as one tower service.
//!
//! ```text
//! Request ─▶ call ──slot?──▶ pool ◀──sets── resolver
//!              │              ▲ ◀──verdicts── feed
//!              ▼              │ phases
//!            lane ──HTTP──▶ endpoint
//! ```

mod builder;
mod call;
mod error;
mod event;
mod origin;
#[cfg(feature = "debug-page")]
mod page;
pub mod policy;
pub(crate) mod pool;
pub mod resolve;
mod retry;
#[cfg(feature = "serde")]
mod serialize;
mod telemetry;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use tokio::sync::broadcast;
use tokio::task::AbortHandle;
use tower_service::Service;

pub use builder::{BuildError, ClientBuilder};
pub use call::{Body, Idempotent};
pub use error::{Error, Trouble};
pub use event::{Cause, EndpointEvent, EndpointStatus, Phase};
#[cfg(feature = "debug-page")]
pub use page::debug_page;
pub use pool::{HealthCheck, OutlierDetection, Protocol, Subset};
pub use retry::RetryBudget;
#[cfg(feature = "metrics")]
pub use telemetry::describe_metrics;

use call::BoxError;
use pool::Pool;

/// An HTTP/2 client for a service with many endpoints, some of which may be dying.
///
/// Clones share everything. A task of its own, not the requests, dials, watches, evicts and probes the endpoints; a call
/// goes to an endpoint that is known to be good, waits in the client's queue while there is none, and goes elsewhere
/// when it is certain or agreed that this does no harm. Without a monitor all of this works from the client's own
/// evidence. Speaks HTTP/2, in clear or with TLS (feature `tls`), and HTTP/1.1; see [`Protocol`].
///
/// It is a [`tower_service::Service`], and with it tonic's `GrpcService` and the inside of connectrpc's
/// `ServiceTransport`:
///
/// ```no_run
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let client = obit::Client::builder("http://demo-api-headless.default.svc:50051").build()?;
/// // let mut greeter = GreeterClient::new(client.clone());                      // tonic
/// // let transport = connectrpc::client::ServiceTransport::new(client.clone()); // connectrpc
/// let response = client.request(http::Request::get("/healthz").body(String::new())?).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Client {
    pool: Arc<Pool>,
    _tasks: Arc<Tasks>,
}

/// Ends the client's tasks with its last handle.
struct Tasks(AbortHandle);

impl Drop for Tasks {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A call on its way.
pub type ResponseFuture = Pin<Box<dyn Future<Output = Result<Response<Body>, Error>> + Send>>;

impl Client {
    /// A client for `origin`, `http://host[:port]` or `https://host[:port]`: the authority of requests that name none and, unless endpoints or a
    /// resolver are given, the DNS name whose addresses serve.
    ///
    /// Or a Kubernetes service, `obit:///service.namespace:port`, the port by number or by name: its endpoints come from the
    /// node's monitor ([`resolve::Monitor`]), and from the cluster's DNS for as long as that does not tell them.
    ///
    /// ```no_run
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let client = obit::Client::builder("obit:///demo-api.shop:grpc").build()?;
    /// # Ok(()) }
    /// ```
    pub fn builder(origin: impl AsRef<str>) -> ClientBuilder {
        ClientBuilder::new(origin.as_ref())
    }

    fn start(pool: Pool, resolver: Box<dyn resolve::Resolve>) -> Self {
        let pool = Arc::new(pool);
        let task = tokio::spawn(pool::govern(pool.clone(), resolver));
        Self {
            pool,
            _tasks: Arc::new(Tasks(task.abort_handle())),
        }
    }

    /// Makes one call.
    ///
    /// # Errors
    ///
    /// See [`Error`]. For a gRPC request (`application/grpc`) failures come as a response with `grpc-status` 14
    /// (UNAVAILABLE) and a message, as every gRPC library expects them.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future cancels the call: its stream is reset if it was sent, its place in the queue given up if not.
    pub async fn request<B>(&self, request: Request<B>) -> Result<Response<Body>, Error>
    where
        B: http_body::Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<BoxError>,
    {
        call::call(self.pool.clone(), request).await
    }

    /// Every change of an endpoint's phase from now on. A listener more than 1 024 events behind misses the oldest and is
    /// told how many.
    #[must_use]
    pub fn events(&self) -> broadcast::Receiver<EndpointEvent> {
        self.pool.events()
    }

    /// Waits until so many endpoints are in rotation: for the start of a service that wants its first calls to be as fast as the
    /// others. Waits for as long as it takes; bound it with [`tokio::time::timeout`].
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn warmed_up(&self, endpoints: usize) {
        let mut events = self.events();
        loop {
            let ready = self.snapshot().iter().filter(|it| it.phase == Phase::Ready).count();
            if ready >= endpoints {
                return;
            }
            // However many were missed: what counts is how things stand.
            let _ = events.recv().await;
        }
    }

    /// Every endpoint as it stands now, by address.
    #[must_use]
    pub fn snapshot(&self) -> Vec<EndpointStatus> {
        self.pool.snapshot()
    }

    /// How many calls wait for an endpoint now.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.pool.waiting()
    }
}

impl<B> Service<Request<B>> for Client
where
    B: http_body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = Error;
    type Future = ResponseFuture;

    /// Always ready: a call that must wait waits in the client's queue, bounded in number and time.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> ResponseFuture {
        // The future holds the handle: a call made with the last one is still served.
        let client = self.clone();
        Box::pin(async move { client.request(request).await })
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("waiting", &self.waiting())
            .field("endpoints", &self.snapshot())
            .finish()
    }
}
