//! The feed around another connector.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Extensions, Uri};
use hyper::rt::{Read, Write};
use hyper_util::client::legacy::connect::{Connection, HttpInfo};
use tower_service::Service;

use super::dialer::target;
use super::{Connecting, Connector};
use crate::clock;
use crate::connection::Guarded;
use crate::feed::{Feed, Link, Registration};

/// The connector inside a [`Connector::wrap`].
#[derive(Debug, Clone)]
pub struct Wrap<C>(C);

impl<C> Wrap<C> {
    pub(super) fn new(inner: C) -> Self {
        Self(inner)
    }
}

/// What a wrapped connector fails with: a [`PeerDead`](crate::PeerDead) if the feed ended the dial, else the inner
/// connector's error. [`PeerDead::find`](crate::PeerDead::find) tells.
pub type WrapError = Box<dyn std::error::Error + Send + Sync>;

impl<C> Service<Uri> for Connector<Wrap<C>>
where
    C: Service<Uri> + Clone + Send + 'static,
    C::Response: Read + Write + Connection + Unpin + Send + 'static,
    C::Future: Send,
    C::Error: Into<WrapError>,
{
    type Response = Guarded<C::Response>;
    type Error = WrapError;
    type Future = Connecting<Guarded<C::Response>, WrapError>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), WrapError>> {
        self.inner.0.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let birth_ns = clock::monotonic_ns();
        let source = self.source.clone();
        let literal = literal(&uri);
        let connecting = self.inner.0.call(uri);
        Box::pin(async move {
            let feed = source.feed();
            let dial = literal.map(|peer| register(&feed, peer, birth_ns));
            let io = match &dial {
                None => connecting.await.map_err(Into::into)?,
                Some(dial) => tokio::select! {
                    biased;
                    cause = dial.link().kill_switch().killed() => return Err(cause.into()),
                    connected = connecting => connected.map_err(Into::into)?,
                },
            };
            // What it is connected to is what counts: a proxy, perhaps.
            let Some(peer) = remote(&io) else {
                return Ok(Guarded::unwatched(io));
            };
            let same = dial.filter(|dial| dial.link().peer() == peer);
            Ok(Guarded::tied(
                io,
                same.unwrap_or_else(|| register(&feed, peer, birth_ns)),
            ))
        })
    }
}

fn register(feed: &Feed, peer: SocketAddr, birth_ns: u64) -> Registration {
    Registration::new(
        feed,
        Arc::new(Link::new(obit_protocol::normalise(peer), birth_ns)),
        None,
    )
}

/// The peer of a URI whose host is an IP address.
fn literal(uri: &Uri) -> Option<SocketAddr> {
    let (host, port) = target(uri).ok()?;
    let ip: IpAddr = host.parse().ok()?;
    Some(obit_protocol::normalise(SocketAddr::new(ip, port)))
}

/// The peer the I/O says it is connected to.
fn remote(io: &impl Connection) -> Option<SocketAddr> {
    let mut extras = Extensions::new();
    io.connected().get_extras(&mut extras);
    let info = extras.get::<HttpInfo>()?;
    Some(obit_protocol::normalise(info.remote_addr()))
}
