//! The roll of the process's connections: what each look at its sockets changes. Pure.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::os::fd::RawFd;

use super::socket::Look;

/// A socket that was looked at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    pub(super) cookie: u64,
    pub(super) descriptor: RawFd,
    pub(super) look: Look,
    /// When it was looked at, by `CLOCK_MONOTONIC`.
    pub(super) at_ns: u64,
}

/// A connection, or a dial, that was not there before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Met {
    pub(super) cookie: u64,
    pub(super) peer: SocketAddr,
    pub(super) dialling: bool,
    /// It was there at this time of `CLOCK_MONOTONIC`, and perhaps earlier.
    pub(super) born_by_ns: u64,
}

/// What a look at all sockets changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Met(Met),
    /// A dial became a connection.
    Opened {
        cookie: u64,
    },
    /// It is closed, or nobody is at its other end any more.
    Gone {
        cookie: u64,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Not to be looked at again: no TCP, or dialled by the other end.
    Foreign,
    Idle,
    Listening(u16),
    Dialling(SocketAddr),
    Open(SocketAddr),
}

#[derive(Debug)]
struct Entry {
    descriptor: RawFd,
    stage: Stage,
    /// Whether the look that is under way has found it.
    present: bool,
}

/// Every socket of the process as of the last look, by cookie.
#[derive(Debug, Default)]
pub(super) struct Roll {
    sockets: HashMap<u64, Entry>,
    looked_at: HashMap<u64, Seen>,
}

impl Roll {
    /// A socket is still there. Returns whether that is all that needs to be known of it.
    pub(super) fn is_settled(&mut self, cookie: u64, descriptor: RawFd) -> bool {
        let Some(entry) = self.sockets.get_mut(&cookie) else {
            return false;
        };
        entry.present = true;
        entry.descriptor = descriptor;
        matches!(entry.stage, Stage::Foreign | Stage::Listening(_) | Stage::Open(_))
    }

    /// A socket that is not settled was looked at.
    pub(super) fn note(&mut self, seen: Seen) {
        self.looked_at.insert(seen.cookie, seen);
    }

    /// The end of a look at all sockets: what it changed.
    pub(super) fn close(&mut self) -> Vec<Change> {
        let mut changes = Vec::new();
        let looked_at = std::mem::take(&mut self.looked_at);
        self.sockets.retain(|cookie, entry| {
            let present = std::mem::take(&mut entry.present);
            if !present && matches!(entry.stage, Stage::Dialling(_) | Stage::Open(_)) {
                changes.push(Change::Gone { cookie: *cookie });
            }
            present
        });
        let inbound = self.listening_on(&looked_at);
        for seen in looked_at.into_values() {
            let stage = match seen.look {
                // Whoever dialled us is a client, not a peer we depend on.
                Look::Open { port, .. } if inbound.contains(&port) => Stage::Foreign,
                Look::Open { peer, .. } => Stage::Open(peer),
                Look::Dialling { peer } => Stage::Dialling(peer),
                Look::Listening { port } => Stage::Listening(port),
                Look::Idle => Stage::Idle,
                Look::Foreign => Stage::Foreign,
            };
            let entry = Entry {
                descriptor: seen.descriptor,
                stage,
                present: false,
            };
            let before = self.sockets.insert(seen.cookie, entry).map(|entry| entry.stage);
            changed(&mut changes, before.unwrap_or(Stage::Idle), stage, &seen);
        }
        changes
    }

    fn listening_on(&self, looked_at: &HashMap<u64, Seen>) -> HashSet<u16> {
        let known = self.sockets.values().filter_map(|entry| match entry.stage {
            Stage::Listening(port) => Some(port),
            _ => None,
        });
        let new = looked_at.values().filter_map(|seen| match seen.look {
            Look::Listening { port } => Some(port),
            _ => None,
        });
        known.chain(new).collect()
    }

    /// Under which number a socket was last seen.
    pub(super) fn descriptor(&self, cookie: u64) -> Option<RawFd> {
        self.sockets.get(&cookie).map(|entry| entry.descriptor)
    }

    /// Whom the process is connected to, or dials.
    pub(super) fn peers(&self) -> impl Iterator<Item = SocketAddr> {
        self.sockets.values().filter_map(|entry| match entry.stage {
            Stage::Dialling(peer) | Stage::Open(peer) => Some(peer),
            _ => None,
        })
    }

    /// A connection was ended. Its socket may be dialled with again, unless it had to be shut down.
    pub(super) fn ended(&mut self, cookie: u64, reusable: bool) {
        if let Some(entry) = self.sockets.get_mut(&cookie) {
            entry.stage = if reusable { Stage::Idle } else { Stage::Foreign };
        }
    }
}

fn changed(changes: &mut Vec<Change>, before: Stage, now: Stage, seen: &Seen) {
    let cookie = seen.cookie;
    match (before, now) {
        (Stage::Dialling(dialled), Stage::Open(peer)) if dialled == peer => {
            return changes.push(Change::Opened { cookie });
        }
        (Stage::Dialling(dialled), Stage::Dialling(peer)) if dialled == peer => return,
        (Stage::Dialling(_), _) => changes.push(Change::Gone { cookie }),
        _ => {}
    }
    let (peer, dialling, age) = match (now, seen.look) {
        (Stage::Dialling(peer), _) => (peer, true, 0),
        (Stage::Open(peer), Look::Open { age, .. }) => (peer, false, age.as_nanos()),
        _ => return,
    };
    changes.push(Change::Met(Met {
        cookie,
        peer,
        dialling,
        born_by_ns: seen.at_ns.saturating_sub(u64::try_from(age).unwrap_or(u64::MAX)),
    }));
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const NOW: u64 = 1_000_000_000;

    fn peer(last: u8) -> SocketAddr {
        SocketAddr::from(([198, 18, 0, last], 80))
    }

    fn open(last: u8) -> Look {
        Look::Open {
            peer: peer(last),
            port: 40_000,
            age: Duration::ZERO,
        }
    }

    fn met(cookie: u64, last: u8, dialling: bool) -> Change {
        Change::Met(Met {
            cookie,
            peer: peer(last),
            dialling,
            born_by_ns: NOW,
        })
    }

    /// One look at sockets with these cookies, each under ten times its cookie.
    fn look(roll: &mut Roll, sockets: &[(u64, Look)]) -> Vec<Change> {
        for (cookie, look) in sockets {
            let descriptor = RawFd::try_from(*cookie).unwrap() * 10;
            if !roll.is_settled(*cookie, descriptor) {
                roll.note(Seen {
                    cookie: *cookie,
                    descriptor,
                    look: *look,
                    at_ns: NOW,
                });
            }
        }
        roll.close()
    }

    #[test]
    fn a_connection_is_met_once_and_gone_once() {
        let mut roll = Roll::default();
        assert_eq!(look(&mut roll, &[(1, open(1))]), [met(1, 1, false)]);
        assert_eq!(roll.descriptor(1), Some(10));
        assert_eq!(look(&mut roll, &[(1, open(1))]), []);
        assert_eq!(roll.peers().collect::<Vec<_>>(), [peer(1)]);
        assert_eq!(look(&mut roll, &[]), [Change::Gone { cookie: 1 }]);
        assert_eq!(roll.peers().count(), 0);
        assert_eq!(look(&mut roll, &[]), []);
    }

    #[test]
    fn a_dial_becomes_a_connection_or_another_dial_or_nothing() {
        let dialling = |last| Look::Dialling { peer: peer(last) };
        let mut roll = Roll::default();
        assert_eq!(look(&mut roll, &[(1, dialling(1))]), [met(1, 1, true)]);
        assert_eq!(look(&mut roll, &[(1, dialling(1))]), []);
        let gone = Change::Gone { cookie: 1 };
        assert_eq!(look(&mut roll, &[(1, dialling(2))]), [gone, met(1, 2, true)]);
        assert_eq!(look(&mut roll, &[(1, open(2))]), [Change::Opened { cookie: 1 }]);
        assert_eq!(look(&mut roll, &[(2, dialling(1))]), [gone, met(2, 1, true)]);
        assert_eq!(look(&mut roll, &[(2, Look::Idle)]), [Change::Gone { cookie: 2 }]);
        assert_eq!(look(&mut roll, &[(2, dialling(3))]), [met(2, 3, true)]);
    }

    #[test]
    fn who_dialled_us_is_no_peer_even_when_the_listener_is_found_later_or_closed() {
        let mut roll = Roll::default();
        let accepted = Look::Open {
            peer: peer(9),
            port: 8_080,
            age: Duration::ZERO,
        };
        let listener = (3, Look::Listening { port: 8_080 });
        assert_eq!(look(&mut roll, &[(2, accepted), listener]), []);
        assert_eq!(look(&mut roll, &[(2, accepted), (4, accepted), listener]), []);
        assert_eq!(look(&mut roll, &[(2, accepted), (4, accepted)]), []);
        assert_eq!(roll.peers().count(), 0);
    }

    #[test]
    fn what_was_ended_is_met_again_only_if_it_is_dialled_with_again() {
        let mut roll = Roll::default();
        look(&mut roll, &[(1, open(1)), (2, open(2))]);
        roll.ended(1, true);
        roll.ended(2, false);
        assert_eq!(look(&mut roll, &[(1, Look::Idle), (2, open(2))]), []);
        assert_eq!(look(&mut roll, &[(1, open(3)), (2, open(2))]), [met(1, 3, false)]);
    }

    #[test]
    fn a_connection_was_born_before_it_was_seen_by_its_age() {
        let mut roll = Roll::default();
        let old = Look::Open {
            peer: peer(1),
            port: 1,
            age: Duration::from_millis(400),
        };
        let changes = look(&mut roll, &[(1, old)]);
        assert!(matches!(changes[..], [Change::Met(Met { born_by_ns, .. })] if born_by_ns == NOW - 400_000_000));
    }
}
