//! Changes for whoever takes them from a channel: tonic's `balance_channel`, above all.

use std::future::Future;

use futures_util::StreamExt as _;
use futures_util::stream::Stream;
use tower::discover::Change;

/// Hands every change to `send`, one after the other, until the changes end or either side fails. A change that waits for
/// its turn is worked out when its turn comes: a slow receiver costs no queue.
///
/// With tonic's balanced channel, whose connections are its own, this evicts from future picks; what is in flight on a dead
/// peer ends with that channel's own time-outs.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), tonic::transport::Error> {
/// use std::convert::Infallible;
/// use std::net::SocketAddr;
///
/// use futures_util::stream;
/// use obit::{EvictDiscover, Feed, evict};
/// use tonic::transport::{Channel, Endpoint, channel};
/// use tower::discover::Change;
///
/// let peers = ["198.18.0.7:8080", "198.18.0.8:8080"].map(|peer| peer.parse::<SocketAddr>().unwrap());
/// let endpoints = peers.map(|peer| {
///     let endpoint = Endpoint::from_shared(format!("http://{peer}")).unwrap();
///     Ok::<_, Infallible>(Change::Insert(peer, endpoint))
/// });
/// let (channel, changes) = Channel::balance_channel(16);
/// # let feed = Feed::offline();
/// tokio::spawn(evict::forward(
///     EvictDiscover::new(stream::iter(endpoints), feed),
///     move |change| {
///         let changes = changes.clone();
///         let change = match change {
///             Change::Insert(peer, endpoint) => channel::Change::Insert(peer, endpoint),
///             Change::Remove(peer) => channel::Change::Remove(peer),
///         };
///         async move { changes.send(change).await }
///     },
/// ));
/// # drop(channel);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// What the discovery, or `send`, failed with.
///
/// # Cancel safety
///
/// Dropping the future ends the forwarding; a change handed to `send` may be lost.
pub async fn forward<S, K, V, E, F, Sent, E2>(changes: S, mut send: F) -> Result<(), ForwardError<E, E2>>
where
    S: Stream<Item = Result<Change<K, V>, E>>,
    F: FnMut(Change<K, V>) -> Sent,
    Sent: Future<Output = Result<(), E2>>,
{
    let mut changes = std::pin::pin!(changes);
    while let Some(change) = changes.next().await {
        let change = change.map_err(ForwardError::Discover)?;
        send(change).await.map_err(ForwardError::Send)?;
    }
    Ok(())
}

/// Why [`forward`] ended early.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ForwardError<D, S> {
    /// The discovery failed.
    #[error("the discovery failed: {0}")]
    Discover(D),
    /// Nobody takes the changes any more.
    #[error("the change was not taken: {0}")]
    Send(S),
}
