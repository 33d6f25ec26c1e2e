//! Connectors for clients that are not ours (hyper-util, tonic, connectrpc): the feed stands between the client and every
//! dial and connection it makes.

mod dialer;
mod error;
mod order;
mod wrap;

use std::fmt;
use std::future::Future;
use std::pin::Pin;

pub use dialer::Dialer;
pub use error::ConnectorError;
#[cfg(feature = "reqwest")]
pub(crate) use order::best;
pub(crate) use order::dial_order;
pub use wrap::{Wrap, WrapError};

use crate::Feed;
use crate::connection::DialOptions;

/// Where a connector's feed comes from: the process's own is started at the first dial, inside the runtime.
#[derive(Debug, Clone, Default)]
struct Source(Option<Feed>);

impl Source {
    fn feed(&self) -> Feed {
        self.0.clone().unwrap_or_else(Feed::global)
    }
}

type Connecting<T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send>>;

/// A `Service<Uri>` that dials, aborts a dial when its peer dies, and fails an established connection's I/O when its peer
/// dies. Cheap to clone.
///
/// [`connector()`] makes one that dials by itself; [`Connector::wrap`] puts one around another connector.
#[derive(Clone)]
pub struct Connector<C = Dialer> {
    source: Source,
    inner: C,
}

/// A connector that dials by itself: resolves names with the system's resolver, skips addresses the feed knows dead, and
/// dials the rest in turn, `TCP_NODELAY` set.
///
/// One changed line adopts it:
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), tonic::transport::Error> {
/// // tonic
/// let channel = tonic::transport::Endpoint::from_static("http://shop.default:8080")
///     .connect_with_connector_lazy(obit::connector());
///
/// // hyper-util
/// let client = hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new())
///     .build::<_, http_body_util::Empty<bytes::Bytes>>(obit::connector());
/// # drop((channel, client));
/// # Ok(())
/// # }
/// ```
///
/// The feed is [`Feed::global`] unless [another](Connector::with_feed) is given. Under hyper-util the
/// [`ConnectionHandle`](crate::connection::ConnectionHandle) and the [`KillSwitch`](crate::connection::KillSwitch) of a
/// response's connection are among its extensions.
#[must_use]
pub fn connector() -> Connector {
    Connector {
        source: Source::default(),
        inner: Dialer::default(),
    }
}

impl<C> Connector<C> {
    /// Listens to `feed` and not to the process's own.
    #[must_use]
    pub fn with_feed(mut self, feed: Feed) -> Self {
        self.source = Source(Some(feed));
        self
    }
}

impl Connector<Dialer> {
    /// How to dial.
    #[must_use]
    pub fn with_options(mut self, options: DialOptions) -> Self {
        self.inner = Dialer::new(options);
        self
    }
}

impl<C> Connector<Wrap<C>> {
    /// Puts the feed around another connector, for what that one does: proxies, TLS, its own resolver.
    ///
    /// The connection's peer is what the I/O tells of itself (hyper-util's `HttpInfo` among the extras of `Connected`); one
    /// that tells nothing is passed through unwatched. Against [`connector()`] this loses:
    /// - word of a single connection: the socket's cookie is not known, only the peer's death ends it;
    /// - the abort of a dial to a *name*: its address is not known before it is connected. Dials to an IP address are
    ///   aborted;
    /// - the reset that closes a killed connection, unless the inner connector sets linger: the kernel goes on
    ///   retransmitting to the dead for a while;
    /// - the silence rule.
    pub fn wrap(inner: C) -> Self {
        Self {
            source: Source::default(),
            inner: Wrap::new(inner),
        }
    }
}

impl<C> fmt::Debug for Connector<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector")
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}
