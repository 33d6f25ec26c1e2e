//! The fresh dial that settles a suspicion: one at a time for each endpoint, whoever asks.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use super::Pool;
use crate::client::event::Cause;
use crate::clock;
use crate::connection::{self, DialError};

/// The least time between two confirming dials to one endpoint.
const PAUSE: Duration = Duration::from_millis(200);

/// What the endpoint said to a fresh dial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// It completed the handshake.
    Alive,
    /// It did not, within the learnt bound, and why.
    Gone(Cause),
}

/// The newest dial.
#[derive(Debug, Clone, Copy)]
struct Told {
    begun: Instant,
    ended: Instant,
    answer: Answer,
}

/// Asks one endpoint.
#[derive(Debug)]
pub(super) struct Confirm {
    pool: Arc<Pool>,
    peer: SocketAddr,
    last: Mutex<Option<Told>>,
}

impl Confirm {
    pub(super) fn new(pool: Arc<Pool>, peer: SocketAddr) -> Self {
        Self {
            pool,
            peer,
            last: Mutex::const_new(None),
        }
    }

    /// How it stood at `since` or later: the answer to a new dial, or to one that somebody else made and that ended since.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: a dial nobody waits for any more ends.
    pub(super) async fn ask(&self, since: Instant) -> Answer {
        let mut last = self.last.lock().await;
        if let Some(Told { begun, ended, answer }) = *last {
            if ended >= since {
                return answer;
            }
            tokio::time::sleep_until(begun + PAUSE).await;
        }
        let begun = clock::now();
        let answer = self.dial().await;
        *last = Some(Told {
            begun,
            ended: clock::now(),
            answer,
        });
        answer
    }

    /// Whether it is not the endpoint's fault, but most likely this side's, that a dial ended so. Cancel safe.
    pub(super) async fn is_own_side(&self, cause: Cause) -> bool {
        // Who refuses is there.
        cause != Cause::Refused && self.pool.is_own_side(self.peer).await
    }

    /// After how long without a segment keep-alive asks the endpoint's kernel; `None`: never.
    pub(super) fn keep_alive(&self) -> Option<Duration> {
        self.pool.settings.dial.keep_alive
    }

    /// How many outages of this side are over.
    pub(super) fn outages(&self) -> usize {
        self.pool.outages().count()
    }

    /// A dial on its way that brings no answer before this is dropped.
    #[cfg(test)]
    pub(super) async fn delayed(&self) -> impl Sized + '_ {
        self.last.lock().await
    }

    async fn dial(&self) -> Answer {
        let bound = self.pool.handshakes().bound();
        let dial = connection::dial(&self.pool.settings.feed, self.peer, &self.pool.settings.dial);
        match tokio::time::timeout(bound, dial).await {
            Ok(Ok(connection)) => {
                self.pool.learn(&connection.handle());
                self.pool.outages().over();
                Answer::Alive
            }
            Ok(Err(error)) => Answer::Gone(cause_of(&error)),
            Err(_) => Answer::Gone(Cause::Unanswered),
        }
    }
}

/// A dial's failure as what moves an endpoint.
pub(super) fn cause_of(error: &DialError) -> Cause {
    match error {
        DialError::Refused { .. } => Cause::Refused,
        DialError::Unreachable { .. } => Cause::Unreachable,
        DialError::TimedOut { .. } => Cause::Unanswered,
        DialError::PeerDead(dead) => Cause::Dead(dead.reason),
        DialError::Io { source, .. } => Cause::Io(source.kind()),
    }
}
