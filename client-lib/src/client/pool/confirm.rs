//! The fresh dials that settle a suspicion: of each endpoint one question at a time, whoever asks.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::Pool;
use crate::client::event::Cause;
use crate::clock;
use crate::connection::{self, DialError};

/// The least time between two questions to one endpoint.
const PAUSE: Duration = Duration::from_millis(200);

/// How many dials a question is. Where 3 % of all segments are lost, one of seventeen dials is not answered in time, and three in a
/// row are not once in five thousand times.
const DIALS: u32 = 3;

/// How long after one the next is begun, if none was answered yet: what loses one segment is likely to lose those that come with it.
const STAGGER: Duration = Duration::from_millis(3);

/// What the endpoint said to fresh dials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// It completed a handshake.
    Alive,
    /// It completed none, each within the learnt bound, and why.
    Gone(Cause),
}

/// The newest question.
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

    /// How it stood at `since` or later: the answer to a new question, or to one that somebody else asked and that ended since.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dials nobody waits for any more end.
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

    /// Dials until it is known how the endpoint stands.
    async fn dial(&self) -> Answer {
        let mut dials: FuturesUnordered<_> = (0..DIALS).map(|number| self.dial_after(STAGGER * number)).collect();
        while let Some(answer) = dials.next().await {
            if answer != Answer::Gone(Cause::Unanswered) {
                return answer;
            }
        }
        Answer::Gone(Cause::Unanswered)
    }

    async fn dial_after(&self, pause: Duration) -> Answer {
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
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
