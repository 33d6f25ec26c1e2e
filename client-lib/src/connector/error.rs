//! Why a connector has no connection to give. In every case nothing was sent.

use std::io;

use http::Uri;

use crate::connection::DialError;

/// Why [`connector()`](super::connector()) failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectorError {
    /// The URI names no host.
    #[error("{uri} names no host")]
    NoHost {
        /// The URI.
        uri: Uri,
    },
    /// The scheme is neither `http` nor `https` and no port is given.
    #[error("{uri} names no port, and its scheme has none of its own")]
    NoPort {
        /// The URI.
        uri: Uri,
    },
    /// The name could not be resolved.
    #[error("cannot resolve {host}: {source}")]
    Resolve {
        /// The name.
        host: String,
        /// What the system's resolver said.
        source: io::Error,
    },
    /// The name has no address.
    #[error("{host} has no address")]
    NoAddress {
        /// The name.
        host: String,
    },
    /// Every address was dialled in vain; this is what became of the last.
    #[error("cannot connect to {host}: {source}")]
    Dial {
        /// The name.
        host: String,
        /// What became of the last dial.
        source: DialError,
    },
}
