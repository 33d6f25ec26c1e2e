//! One peer's place in the health map: written by the feed's task, read without locks on the request path.

use std::net::SocketAddr;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::connection::KillSwitch;
use crate::sync::ArcSwap;
use crate::{Health, PeerDead, Verdict};

/// The newest health of one peer.
#[derive(Debug)]
pub(super) struct PeerCell {
    peer: SocketAddr,
    health: ArcSwap<Health>,
    changes: watch::Sender<Health>,
    /// Killed when the peer dies, replaced when it is no longer dead: what is in flight hangs on the life it began in.
    life: ArcSwap<KillSwitch>,
}

impl PeerCell {
    pub(super) fn new(peer: SocketAddr) -> Self {
        Self {
            peer,
            health: ArcSwap::from_pointee(Health::UNKNOWN),
            changes: watch::Sender::new(Health::UNKNOWN),
            life: ArcSwap::from_pointee(KillSwitch::new(peer)),
        }
    }

    pub(super) fn peer(&self) -> SocketAddr {
        self.peer
    }

    pub(super) fn health(&self) -> Health {
        **self.health.load()
    }

    pub(super) fn life(&self) -> KillSwitch {
        KillSwitch::clone(&self.life.load())
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<Health> {
        self.changes.subscribe()
    }

    /// Makes `health` the newest. Only the feed's task writes, so that read and write need not be one step.
    pub(super) fn publish(&self, health: Health, now: Instant) {
        let before = self.health();
        if before == health {
            return;
        }
        // A new life before the verdict that lets work in, and the verdict that keeps work out before the end of a life:
        // nobody reads "alive" and then joins a life that has already ended.
        if before.verdict == Verdict::Dead && health.verdict != Verdict::Dead {
            self.life.store(KillSwitch::new(self.peer).into());
        }
        self.health.store(health.into());
        if health.verdict == Verdict::Dead {
            self.life.load().kill(PeerDead {
                peer: self.peer,
                reason: health.reason,
                at: now,
            });
        }
        self.changes.send_replace(health);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Reason, clock};

    fn health(verdict: Verdict, kernel_ns: u64) -> Health {
        Health {
            verdict,
            reason: Reason::Refused,
            evidence: 1,
            kernel_ns,
        }
    }

    #[tokio::test]
    async fn a_death_ends_the_life_that_was_and_a_return_begins_another() {
        let cell = PeerCell::new("198.18.0.1:80".parse().unwrap());
        let first = cell.life();
        cell.publish(health(Verdict::Suspect, 1), clock::now());
        assert!(!first.is_killed());

        cell.publish(health(Verdict::Dead, 2), clock::now());
        assert_eq!(first.cause().map(|cause| cause.reason), Some(Reason::Refused));
        assert!(cell.life().is_killed());

        cell.publish(health(Verdict::Alive, 3), clock::now());
        assert!(first.is_killed());
        assert!(!cell.life().is_killed());
        assert_eq!(cell.health().verdict, Verdict::Alive);
    }

    #[tokio::test]
    async fn the_same_health_again_wakes_nobody() {
        let cell = PeerCell::new("198.18.0.1:80".parse().unwrap());
        let mut changes = cell.subscribe();
        cell.publish(health(Verdict::Alive, 1), clock::now());
        assert!(changes.has_changed().unwrap());
        changes.mark_unchanged();
        cell.publish(health(Verdict::Alive, 1), clock::now());
        assert!(!changes.has_changed().unwrap());
    }
}
