//! The layer of one endpoint.

use tower_layer::Layer;

use super::EvictService;
use crate::PeerWatch;

/// Ends what is in flight to one endpoint when it dies, and refuses new calls while it is dead.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use obit::{EvictLayer, Feed};
/// use tower::ServiceBuilder;
///
/// let feed = Feed::offline();
/// let peer = "198.18.0.7:8080".parse().unwrap();
/// let service = ServiceBuilder::new()
///     .layer(EvictLayer::new(feed.watch(peer)))
///     .service_fn(|request: http::Request<String>| async move {
///         Ok::<_, std::convert::Infallible>(http::Response::new(request.into_body()))
///     });
/// # drop(service);
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct EvictLayer {
    watch: PeerWatch,
}

impl EvictLayer {
    /// A layer for services that talk to the watched peer, and to no other.
    #[must_use]
    pub fn new(watch: PeerWatch) -> Self {
        Self { watch }
    }
}

impl<S> Layer<S> for EvictLayer {
    type Service = EvictService<S>;

    fn layer(&self, inner: S) -> EvictService<S> {
        EvictService::new(inner, self.watch.clone())
    }
}
