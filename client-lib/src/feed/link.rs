//! What ties one connection, or one dial, to the feed: decides which notices concern it.

use std::fmt;
use std::net::SocketAddr;
use std::sync::OnceLock;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::connection::KillSwitch;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::{Health, PeerDead, Reason, Verdict};

/// How a verdict reached the feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// As it was reached.
    Live,
    /// With the state of a peer just asked for; may be old.
    Snapshot,
}

/// Tells why a silence says nothing of this connection's peer: because the connection heard its peer's kernel just now, within a time
/// that is shorter than any in which a dial counts as not answered; or because nobody at all is heard.
pub(crate) struct Ear(Box<dyn Fn() -> bool + Send + Sync>);

impl Ear {
    pub(crate) fn new(hears: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self(Box::new(hears))
    }
}

impl fmt::Debug for Ear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ear")
    }
}

/// One connection as the feed sees it, from the beginning of its dial.
#[derive(Debug)]
pub(crate) struct Link {
    peer: SocketAddr,
    birth_ns: u64,
    established: AtomicBool,
    ear: OnceLock<Ear>,
    doubt: OnceLock<Ear>,
    kill: KillSwitch,
    health: watch::Sender<Health>,
}

impl Link {
    /// A dial to `peer` that begins at `birth_ns` (`CLOCK_MONOTONIC`).
    pub(crate) fn new(peer: SocketAddr, birth_ns: u64) -> Self {
        Self {
            peer,
            birth_ns,
            established: AtomicBool::new(false),
            ear: OnceLock::new(),
            doubt: OnceLock::new(),
            kill: KillSwitch::new(peer),
            health: watch::Sender::new(Health::UNKNOWN),
        }
    }

    pub(crate) fn peer(&self) -> SocketAddr {
        self.peer
    }

    pub(crate) fn kill_switch(&self) -> &KillSwitch {
        &self.kill
    }

    /// The dial has succeeded.
    pub(crate) fn establish(&self) {
        self.established.store(true, Ordering::Release);
    }

    /// The dial has succeeded, and the connection can be asked whether it hears its peer.
    pub(crate) fn establish_with(&self, ear: Ear) {
        _ = self.ear.set(ear);
        self.establish();
    }

    /// While `doubt` says so, silence says nothing: whoever has this connection finds out by itself.
    pub(crate) fn doubt_silence(&self, doubt: Ear) {
        _ = self.doubt.set(doubt);
    }

    /// Whether an established connection knows better than who was not answered.
    fn knows_better(&self, reason: Reason) -> bool {
        reason.is_silence()
            && [&self.ear, &self.doubt]
                .into_iter()
                .any(|it| it.get().is_some_and(|ear| ear.0()))
    }

    /// What the monitor says of this one connection.
    pub(crate) fn health(&self) -> Health {
        *self.health.borrow()
    }

    pub(crate) fn changes(&self) -> watch::Receiver<Health> {
        self.health.subscribe()
    }

    /// A verdict about the peer. Kills what the peer's death concerns: everything born before the kernel saw it, and
    /// also a dial that began a moment later if nothing at that address answers, because nobody will tell it. An
    /// established connection that hears for itself whether it is over is only closed to new work, and one that hears its peer
    /// knows better than who was not answered.
    pub(crate) fn peer_changed(&self, health: Health, arrival: Arrival, now: Instant) {
        if health.verdict != Verdict::Dead {
            return;
        }
        let dialling = !self.established.load(Ordering::Acquire);
        let unanswered = dialling && arrival == Arrival::Live && health.reason.is_address_wide();
        if !health.is_death_since(self.birth_ns) && !unanswered {
            return;
        }
        if !dialling && self.knows_better(health.reason) {
            return;
        }
        if dialling || !health.reason.is_told_by_the_socket() {
            self.kill(health, now);
        } else {
            self.health.send_replace(health);
        }
    }

    /// A verdict about this connection alone.
    ///
    /// After a FIN or a reset the kernel keeps what had arrived, perhaps the whole response, and then tells the socket's
    /// owner itself, as soon as we could: such a connection takes no new work, and its I/O is left alone.
    pub(super) fn connection_changed(&self, health: Health, now: Instant) {
        self.health.send_replace(health);
        let doubted = health.reason.is_silence() && self.doubt.get().is_some_and(|doubt| doubt.0());
        if health.verdict == Verdict::Dead && !health.reason.is_told_by_the_socket() && !doubted {
            self.kill(health, now);
        }
    }

    fn kill(&self, health: Health, at: Instant) {
        self.kill.kill(PeerDead {
            peer: self.peer,
            reason: health.reason,
            at,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    const BIRTH: u64 = 1_000;

    fn link() -> Link {
        Link::new("198.18.0.1:80".parse().unwrap(), BIRTH)
    }

    fn dead(reason: Reason, kernel_ns: u64) -> Health {
        Health {
            verdict: Verdict::Dead,
            reason,
            evidence: 1,
            kernel_ns,
        }
    }

    #[tokio::test]
    async fn a_death_after_the_birth_kills_and_an_older_one_does_not() {
        let connection = link();
        connection.establish();
        connection.peer_changed(dead(Reason::Unreachable, BIRTH - 1), Arrival::Live, clock::now());
        connection.peer_changed(dead(Reason::Unreachable, BIRTH), Arrival::Snapshot, clock::now());
        assert!(!connection.kill_switch().is_killed());
        connection.peer_changed(dead(Reason::Unreachable, BIRTH + 1), Arrival::Snapshot, clock::now());
        assert!(connection.kill_switch().is_killed());
    }

    #[tokio::test]
    async fn a_closed_listener_ends_dials_and_lets_established_connections_finish() {
        let (dialling, established, newer) = (link(), link(), link());
        established.establish();
        newer.establish();
        for connection in [&dialling, &established] {
            connection.peer_changed(dead(Reason::Refused, BIRTH + 1), Arrival::Live, clock::now());
        }
        newer.peer_changed(dead(Reason::Refused, BIRTH - 1), Arrival::Live, clock::now());
        assert!(dialling.kill_switch().is_killed());
        assert!(!established.kill_switch().is_killed());
        assert_eq!(established.health().reason, Reason::Refused, "closed to new work");
        assert_eq!(newer.health(), Health::UNKNOWN, "an older death is of somebody else");
    }

    #[tokio::test]
    async fn who_hears_its_peer_is_not_killed_by_the_silence_that_others_met() {
        for (reason, hears, killed) in [
            (Reason::SynStalled, true, false),
            (Reason::Stalled, true, false),
            (Reason::SynStalled, false, true),
            (Reason::Unreachable, true, true),
        ] {
            let (connection, dialling) = (link(), link());
            connection.establish_with(Ear::new(move || hears));
            for link in [&connection, &dialling] {
                link.peer_changed(dead(reason, BIRTH + 1), Arrival::Live, clock::now());
            }
            assert_eq!(connection.kill_switch().is_killed(), killed, "{reason}, {hears}");
            assert!(dialling.kill_switch().is_killed());
        }
    }

    #[tokio::test]
    async fn while_nobody_is_heard_silence_kills_no_connection_and_word_of_its_end_does() {
        let [doubting, certain] = [true, false].map(|doubts| {
            let connection = link();
            connection.establish();
            connection.doubt_silence(Ear::new(move || doubts));
            connection.connection_changed(dead(Reason::Stalled, BIRTH + 1), clock::now());
            connection
        });
        assert!(certain.kill_switch().is_killed());
        doubting.peer_changed(dead(Reason::SynStalled, BIRTH + 2), Arrival::Live, clock::now());
        assert!(!doubting.kill_switch().is_killed());
        doubting.peer_changed(dead(Reason::Unreachable, BIRTH + 3), Arrival::Live, clock::now());
        assert!(doubting.kill_switch().is_killed());
    }

    #[tokio::test]
    async fn suspicion_never_kills() {
        let connection = link();
        for verdict in [Verdict::Unknown, Verdict::Alive, Verdict::Suspect, Verdict::Draining] {
            let health = Health {
                verdict,
                ..dead(Reason::SynStalled, BIRTH + 1)
            };
            connection.peer_changed(health, Arrival::Live, clock::now());
            connection.connection_changed(health, clock::now());
        }
        assert!(!connection.kill_switch().is_killed());
    }

    #[tokio::test]
    async fn a_dial_is_aborted_when_word_arrives_that_the_address_does_not_answer() {
        let (told, old, port) = (link(), link(), link());
        told.peer_changed(dead(Reason::SynStalled, BIRTH - 1), Arrival::Live, clock::now());
        old.peer_changed(dead(Reason::SynStalled, BIRTH - 1), Arrival::Snapshot, clock::now());
        port.peer_changed(dead(Reason::Refused, BIRTH - 1), Arrival::Live, clock::now());
        assert!(told.kill_switch().is_killed());
        assert!(!old.kill_switch().is_killed());
        assert!(!port.kill_switch().is_killed());
    }

    #[tokio::test]
    async fn what_the_kernel_tells_the_socket_itself_is_kept_and_leaves_its_data_alone() {
        for reason in [Reason::PeerClosed, Reason::Reset, Reason::TimedOut, Reason::AllClosed] {
            let connection = link();
            connection.connection_changed(dead(reason, BIRTH + 1), clock::now());
            assert!(!connection.kill_switch().is_killed(), "{reason}");
            assert_eq!(connection.health().reason, reason);
        }
        let stalled = link();
        stalled.connection_changed(dead(Reason::Stalled, BIRTH + 1), clock::now());
        assert_eq!(
            stalled.kill_switch().cause().map(|cause| cause.reason),
            Some(Reason::Stalled)
        );
    }
}
