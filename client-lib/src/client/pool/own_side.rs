//! When it is not an endpoint's fault that it is not heard: this side's own network is in trouble.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;

use super::Pool;
use super::roster::Roster;
use crate::clock;
use crate::connection::{self, DIAL_AFTER, DialError};

/// Fewer endpoints are no sign of this side's own trouble; as the monitor has it.
const MANY: usize = 3;

/// How many others are asked before this side is blamed.
const ASKED: usize = 3;

/// How long an answer to that is good for.
const MOMENT: Duration = Duration::from_millis(50);

/// How long nobody is taken for dead although nobody is heard. Then it may be them after all; as the monitor has it.
pub(super) const OWN_SIDE_LASTS: Duration = Duration::from_secs(10);

/// What the connections say of this side by themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
    /// Somebody is heard: this side is well.
    Somebody,
    /// Nobody is, and of some nothing is due.
    Nobody,
    /// Nobody is, though everybody owes an acknowledgement or an answer, and they are many.
    NobodyOfMany,
}

/// Who is heard of these endpoints.
pub(super) fn heard(roster: &Roster) -> Heard {
    let (mut due, mut all) = (0, 0);
    for lanes in roster.lanes_by_endpoint() {
        let (mut lives, mut owes) = (false, false);
        for lane in lanes {
            // One that has ended says nothing.
            let Some(sample) = lane.connection().probe().sample() else {
                continue;
            };
            if sample.last_heard() < DIAL_AFTER {
                return Heard::Somebody;
            }
            lives = true;
            owes |= sample.silence().is_some() || lane.in_flight() > 0;
        }
        all += usize::from(lives);
        due += usize::from(lives && owes);
    }
    if due == all && due >= MANY {
        Heard::NobodyOfMany
    } else {
        Heard::Nobody
    }
}

/// Outages of this side.
#[derive(Debug, Default)]
pub(super) struct Outages {
    lasts: AtomicBool,
    over: AtomicUsize,
}

impl Outages {
    /// One is noticed.
    fn begin(&self) {
        self.lasts.store(true, Ordering::SeqCst);
    }

    /// Somebody answers: if there was one, it is over.
    pub(super) fn over(&self) {
        if self.lasts.swap(false, Ordering::SeqCst) {
            self.over.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// How many are over.
    pub(super) fn count(&self) -> usize {
        self.over.load(Ordering::SeqCst)
    }
}

impl Pool {
    /// Whether it is most likely this side's fault that an endpoint is not heard: nobody is, and of some others that are dialled
    /// none answers. Asked once for all who want to know within a moment.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dials nobody waits for any more end.
    pub(super) async fn is_own_side(&self, peer: SocketAddr) -> bool {
        let mut own_side = self.own_side.lock().await;
        if heard(&self.roster()) == Heard::Somebody {
            self.outages().over();
            return false;
        }
        if let Some((at, fault)) = *own_side
            && clock::now().saturating_duration_since(at) < MOMENT
        {
            return fault;
        }
        let others = self.others(peer, ASKED);
        if others.len() + 1 < MANY {
            return false;
        }
        let bound = self.handshakes().bound();
        let mut dials: FuturesUnordered<_> = others
            .into_iter()
            .map(|peer| connection::dial(&self.settings.feed, peer, &self.settings.dial))
            .map(|dial| tokio::time::timeout(bound, dial))
            .collect();
        let mut fault = true;
        while let Some(dialled) = dials.next().await {
            // Who refuses is there.
            if matches!(dialled, Ok(Ok(_) | Err(DialError::Refused { .. }))) {
                fault = false;
                break;
            }
        }
        *own_side = Some((clock::now(), fault));
        if fault {
            self.outages().begin();
        } else {
            self.outages().over();
        }
        fault
    }
}
