//! TLS between the socket and HTTP.

use std::fmt;
use std::sync::Arc;

use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::open::Failure;
use super::protocol::{Protocol, Spoken};
use crate::client::event::Cause;
use crate::connection::GuardedTcp;

/// How to greet an endpoint: with which roots and certificates, and under what name, which is the service's and not the
/// endpoint's address.
#[derive(Clone)]
pub(crate) struct Tls {
    connector: TlsConnector,
    name: ServerName<'static>,
    protocol: Protocol,
}

/// The peer chose none of what was offered.
#[derive(Debug, thiserror::Error)]
#[error("the peer agreed to speak {chosen} (ALPN); this client speaks {}", .spoken.join(" or "))]
struct NothingInCommon {
    chosen: String,
    spoken: Vec<String>,
}

impl Tls {
    pub(crate) fn new(mut config: ClientConfig, name: ServerName<'static>, protocol: Protocol) -> Self {
        config.alpn_protocols = protocol.alpn();
        Self {
            connector: TlsConnector::from(Arc::new(config)),
            name,
            protocol,
        }
    }

    pub(super) async fn handshake(
        &self,
        io: GuardedTcp,
    ) -> Result<(TokioIo<TlsStream<TokioIo<GuardedTcp>>>, Spoken), Failure> {
        let connecting = self.connector.connect(self.name.clone(), TokioIo::new(io));
        let stream = connecting.await.map_err(|error| Failure::new(Cause::Tls, error))?;
        let chosen = stream.get_ref().1.alpn_protocol();
        match self.protocol.agreed(chosen) {
            Some(spoken) => Ok((TokioIo::new(stream), spoken)),
            None => {
                let text = |name: &[u8]| String::from_utf8_lossy(name).into_owned();
                Err(Failure::new(
                    Cause::Tls,
                    NothingInCommon {
                        chosen: chosen.map_or_else(|| "nothing".to_owned(), text),
                        spoken: self.protocol.alpn().iter().map(|name| text(name)).collect(),
                    },
                ))
            }
        }
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("name", &self.name)
            .field("protocol", &self.protocol)
            .finish_non_exhaustive()
    }
}
