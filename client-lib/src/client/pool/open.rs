//! From a TCP connection to one that takes calls: TLS where it is asked for, then the greeting of the protocol.

use std::error::Error as StdError;
use std::net::SocketAddr;
use std::sync::Arc;

use hyper::rt::{Read, Write};

use super::confirm::cause_of;
use super::gauge::{Gauge, Stage};
use super::lane::{Lane, Sender};
use super::outlier::Tally;
use super::protocol::{Protocol, Spoken};
#[cfg(feature = "tls")]
use super::tls::Tls;
use super::{Pool, driver};
use crate::client::event::Cause;
use crate::client::policy::Average;
use crate::connection::{self, ConnectionHandle, DialError, GuardedTcp, KillSwitch};

/// Why a connection came to nothing, and what was said by whoever found out.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) cause: Cause,
    pub(crate) source: Option<Arc<dyn StdError + Send + Sync>>,
}

impl From<Cause> for Failure {
    fn from(cause: Cause) -> Self {
        Self { cause, source: None }
    }
}

impl Failure {
    pub(super) fn new(cause: Cause, source: impl StdError + Send + Sync + 'static) -> Self {
        Self {
            cause,
            source: Some(Arc::new(source)),
        }
    }
}

/// What is spoken on the connections of a pool.
#[derive(Debug, Clone)]
pub(crate) struct Speech {
    pub(crate) protocol: Protocol,
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<Tls>,
}

impl Speech {
    /// Greets the peer. The connection's driver runs in a task of its own from then on.
    async fn greet(&self, io: GuardedTcp, gauge: &Arc<Gauge>) -> Result<Sender, Failure> {
        let kill = io.kill_switch().clone();
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            let (io, spoken) = tls.handshake(io).await?;
            return greet(io, spoken, gauge, kill).await;
        }
        greet(io, self.protocol.in_clear(), gauge, kill).await
    }
}

async fn greet<T>(io: T, spoken: Spoken, gauge: &Arc<Gauge>, kill: KillSwitch) -> Result<Sender, Failure>
where
    T: Read + Write + Unpin + Send + 'static,
{
    let failed = |error| Failure::new(Cause::Closed, error);
    Ok(match spoken {
        Spoken::Http1 => {
            let (sender, driver) = driver::http1(io, gauge.clone()).await.map_err(failed)?;
            tokio::spawn(driver);
            // The peer says nothing before it is asked.
            gauge.limit(1);
            Sender::Http1(sender)
        }
        Spoken::Http2 => {
            let (sender, driver) = driver::http2(io, gauge.clone(), kill).await.map_err(failed)?;
            tokio::spawn(driver);
            Sender::Http2(sender)
        }
    })
}

impl Pool {
    /// A new connection that takes calls.
    pub(super) async fn dial_and_open(
        self: Arc<Self>,
        peer: SocketAddr,
        tally: Option<Arc<Tally>>,
    ) -> Result<Arc<Lane>, Failure> {
        let dialled = connection::dial(&self.settings.feed, peer, &self.settings.dial).await;
        self.open(peer, dialled, tally).await
    }

    /// Makes a connection that takes calls of what a dial brought.
    pub(super) async fn open(
        self: &Arc<Self>,
        peer: SocketAddr,
        dialled: Result<GuardedTcp, DialError>,
        tally: Option<Arc<Tally>>,
    ) -> Result<Arc<Lane>, Failure> {
        let io = dialled.map_err(|error| Failure::new(cause_of(&error), error))?;
        let handle = io.handle();
        self.learn(&handle);
        let pool = Arc::downgrade(self);
        handle.doubt_silence(move || pool.upgrade().is_some_and(|pool| pool.is_nobody_heard()));
        let average = self.decay.map(|decay| Average::new(decay, self.born));
        let gauge = Arc::new(Gauge::new(self.queue.clone(), average));
        let opening = async {
            // In a box of its own: thousands may wait for their peers' greetings at once, and need only the sender for it.
            let sender = Box::pin(self.settings.speech.greet(io, &gauge)).await?;
            match gauge.reached(Stage::Open).await {
                Stage::Open => Ok::<_, Failure>(sender),
                _ => Err(Cause::Closed.into()),
            }
        };
        let opened = tokio::time::timeout(self.settings.connect_timeout, opening).await;
        let sender = opened.unwrap_or(Err(Cause::Mute.into()))?;
        Ok(Arc::new(Lane::new(peer, sender, gauge, handle, tally)))
    }

    /// A handshake completed.
    pub(super) fn learn(&self, connection: &ConnectionHandle) {
        if let Some(rtt) = connection.handshake_rtt() {
            self.handshakes().completed(rtt);
        }
    }
}
