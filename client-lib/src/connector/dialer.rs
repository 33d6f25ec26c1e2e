//! The connector's own way to dial: resolve, leave out the dead, dial the rest in turn.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use http::Uri;
use tokio::time::sleep;
use tower_service::Service;

use super::order::dial_order;
use super::{Connecting, Connector, ConnectorError};
use crate::connection::{DialError, DialOptions, GuardedTcp, dial};
use crate::{Feed, PeerWatch};

/// How long an address may take before the next one is dialled beside it (RFC 8305, section 5).
const NEXT_ADDRESS_AFTER: Duration = Duration::from_millis(250);

/// Authorities whose addresses stay watched between dials.
const MAX_AUTHORITIES: usize = 256;

/// Dials for [`connector()`](super::connector()).
#[derive(Debug, Clone, Default)]
pub struct Dialer(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    options: DialOptions,
    /// The addresses each authority had when it was last dialled: watched from then on, so that the next dial knows the
    /// dead without asking.
    watched: Mutex<HashMap<String, Vec<PeerWatch>>>,
}

impl Dialer {
    pub(super) fn new(options: DialOptions) -> Self {
        Self(Arc::new(Inner {
            options,
            watched: Mutex::default(),
        }))
    }

    async fn connect(self, feed: Feed, uri: Uri) -> Result<GuardedTcp, ConnectorError> {
        let (host, port) = target(&uri)?;
        let addresses = resolve(&host, port).await?;
        let order = self.watch(&feed, format!("{host}:{port}"), &addresses);
        self.dial_in_turn(&feed, order, host).await
    }

    /// Watches the addresses of `authority` from now on; returns those to dial.
    fn watch(&self, feed: &Feed, authority: String, addresses: &[SocketAddr]) -> Vec<SocketAddr> {
        let watches: Vec<_> = addresses.iter().map(|address| feed.watch(*address)).collect();
        let known: Vec<_> = addresses
            .iter()
            .zip(&watches)
            .map(|(address, watch)| (*address, watch.health().verdict))
            .collect();
        let mut watched = self.0.watched.lock().unwrap_or_else(PoisonError::into_inner);
        if watched.len() >= MAX_AUTHORITIES && !watched.contains_key(&authority) {
            // Whoever dials so many has no use for what was known of one of them.
            watched.clear();
        }
        watched.insert(authority, watches);
        dial_order(&known)
    }

    /// Dials one address after the other; the next one when the one before has failed or takes its time. The first to
    /// answer wins, the others are dropped.
    async fn dial_in_turn(
        &self,
        feed: &Feed,
        order: Vec<SocketAddr>,
        host: String,
    ) -> Result<GuardedTcp, ConnectorError> {
        let mut waiting = order.into_iter();
        let mut dials = FuturesUnordered::new();
        let mut last: Option<DialError> = None;
        loop {
            let more = waiting.len() > 0;
            if dials.is_empty() {
                let Some(address) = waiting.next() else {
                    return Err(match last {
                        Some(source) => ConnectorError::Dial { host, source },
                        None => ConnectorError::NoAddress { host },
                    });
                };
                dials.push(dial(feed, address, &self.0.options));
                continue;
            }
            tokio::select! {
                Some(dialled) = dials.next() => match dialled {
                    Ok(connection) => return Ok(connection),
                    Err(error) => {
                        tracing::debug!("{error}");
                        last = Some(error);
                        dials.extend(waiting.next().map(|address| dial(feed, address, &self.0.options)));
                    }
                },
                () = sleep(NEXT_ADDRESS_AFTER), if more => {
                    dials.extend(waiting.next().map(|address| dial(feed, address, &self.0.options)));
                }
            }
        }
    }
}

impl Service<Uri> for Connector<Dialer> {
    type Response = GuardedTcp;
    type Error = ConnectorError;
    type Future = Connecting<GuardedTcp, ConnectorError>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectorError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let (source, dialer) = (self.source.clone(), self.inner.clone());
        Box::pin(async move { dialer.connect(source.feed(), uri).await })
    }
}

/// The host, without an IPv6 address's brackets, and the port.
pub(super) fn target(uri: &Uri) -> Result<(String, u16), ConnectorError> {
    let host = uri.host().filter(|host| !host.is_empty());
    let host = host.ok_or_else(|| ConnectorError::NoHost { uri: uri.clone() })?;
    let port = match (uri.port_u16(), uri.scheme_str()) {
        (Some(port), _) => port,
        (None, Some("http")) => 80,
        (None, Some("https")) => 443,
        (None, _) => return Err(ConnectorError::NoPort { uri: uri.clone() }),
    };
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    Ok((bare.unwrap_or(host).to_owned(), port))
}

async fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, ConnectorError> {
    match tokio::net::lookup_host((host, port)).await {
        Ok(addresses) => Ok(addresses.collect()),
        Err(source) => Err(ConnectorError::Resolve {
            host: host.to_owned(),
            source,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(uri: &'static str) -> Result<(String, u16), ConnectorError> {
        target(&Uri::from_static(uri))
    }

    #[test]
    fn a_uri_names_a_host_and_a_port() {
        assert_eq!(of("http://shop.default:8080/x").unwrap(), ("shop.default".into(), 8080));
        assert_eq!(of("http://shop").unwrap(), ("shop".into(), 80));
        assert_eq!(of("https://[::1]").unwrap(), ("::1".into(), 443));
        assert!(matches!(of("/path"), Err(ConnectorError::NoHost { .. })));
        assert!(matches!(of("ftp://shop"), Err(ConnectorError::NoPort { .. })));
    }
}
