//! The end of the path that failed: what a caller hears, and can act on.

use std::error::Error as StdError;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::PeerDead;

/// Why a call failed. Cheap to clone.
///
/// ```
/// fn may_have_been_processed(error: &obit::Error) -> bool {
///     matches!(error, obit::Error::PeerDead(_) | obit::Error::Connection { .. })
/// }
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Error {
    /// The endpoint died while it served this call, and the call may not be repeated (or the budget is spent). It may
    /// have been processed. Also ends a response body that a death cut short.
    PeerDead(PeerDead),
    /// The connection or the stream failed in another way. The call may have been processed.
    Connection {
        /// The endpoint that served the call.
        peer: SocketAddr,
        /// What hyper said.
        source: Arc<hyper::Error>,
    },
    /// A response ended before its announced length, or without the trailers its protocol promises.
    Truncated {
        /// The endpoint that served the call.
        peer: SocketAddr,
    },
    /// No endpoint could be reached within the queue's deadline. The call was not sent.
    NoEndpoint {
        /// How long the call waited.
        waited: Duration,
        /// The newest failure of an endpoint or of the resolver, when there is one.
        last: Option<Trouble>,
    },
    /// Endpoints are up, but no stream became free within the queue's deadline, or the queue is full. The call was not
    /// sent.
    Overloaded {
        /// How many calls waited in the queue, this one included.
        waiting: usize,
        /// How long this call waited.
        waited: Duration,
    },
    /// The request's own body failed; its error is the source.
    RequestBody(Arc<dyn StdError + Send + Sync>),
    /// The request cannot be sent as it is (for example: a URI that is no URI once scheme and authority are added).
    InvalidRequest(&'static str),
    /// Every handle of the client's inner task is gone: the runtime is shutting down.
    ShutDown,
}

/// A failure that kept an endpoint, or all of them, out of rotation.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Trouble {
    /// This endpoint went out of rotation.
    Endpoint {
        /// The endpoint.
        peer: SocketAddr,
        /// What took it out.
        cause: super::Cause,
        /// The error behind it, where there is one: what TLS or the system said.
        source: Option<Arc<dyn StdError + Send + Sync>>,
    },
    /// The resolver's newest answer was an error.
    Resolver(Arc<dyn StdError + Send + Sync>),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PeerDead(dead) => write!(f, "call lost: {dead}"),
            Self::Connection { peer, .. } => write!(f, "the connection to {peer} failed under the call"),
            Self::Truncated { peer } => write!(f, "{peer} ended the response before it was complete"),
            Self::NoEndpoint { waited, last: None } => write!(f, "no endpoint within {waited:?}"),
            Self::NoEndpoint {
                waited,
                last: Some(last),
            } => write!(f, "no endpoint within {waited:?}: {last}"),
            Self::Overloaded { waiting, waited } => {
                write!(f, "no free stream within {waited:?}; {waiting} calls are waiting")
            }
            Self::RequestBody(_) => f.write_str("the request's body failed"),
            Self::InvalidRequest(why) => write!(f, "the request cannot be sent: {why}"),
            Self::ShutDown => f.write_str("the client is shut down"),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::PeerDead(dead) => Some(dead),
            Self::Connection { source, .. } => Some(&**source),
            Self::RequestBody(source) => Some(&**source),
            Self::NoEndpoint {
                last:
                    Some(
                        Trouble::Resolver(source)
                        | Trouble::Endpoint {
                            source: Some(source), ..
                        },
                    ),
                ..
            } => Some(&**source),
            Self::NoEndpoint { .. }
            | Self::Truncated { .. }
            | Self::Overloaded { .. }
            | Self::InvalidRequest(_)
            | Self::ShutDown => None,
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Endpoint {
                peer,
                cause: super::Cause::Tls,
                source: Some(source),
            } => write!(f, "{peer} is out: TLS: {source}"),
            Self::Endpoint { peer, cause, .. } => write!(f, "{peer} is out: {cause}"),
            Self::Resolver(error) => write!(f, "the resolver failed: {error}"),
        }
    }
}
