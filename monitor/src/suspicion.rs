//! Self-suspicion, beside the ledger: when most of what a network namespace talks to falls silent at once, the fault is
//! most likely on this side (its link, its policy, the node), and to call its peers dead would leave it with nothing.
//!
//! Pure: time is an argument.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::time::Duration;

use obit_protocol::{Reason, Verdict};

use crate::ledger::Standing;
use crate::sighting::{MonotonicNs, NetnsCookie, Observation, Sighting};

/// Peers that fall silent within this time fall silent at once.
pub const AT_ONCE: Duration = Duration::from_secs(1);

/// Fewer silent addresses than this are no majority worth the name.
pub const SILENT_MIN: usize = 3;

/// How long a suspicion lasts without an answer. Then what is known of the peers is told, and there is no other suspicion
/// before something answers: it may have been them after all.
pub const LASTS: Duration = Duration::from_secs(10);

/// The most silent addresses remembered for one namespace: half of what a subscriber may watch by default.
const SILENT_MAX: usize = 8_192;

/// Which namespaces of this node are suspected themselves.
#[derive(Debug, Default)]
pub struct Suspicions {
    views: HashMap<NetnsCookie, View>,
    due: BTreeSet<(MonotonicNs, NetnsCookie)>,
}

#[derive(Debug, Default)]
struct View {
    silent: Silent,
    state: State,
}

/// The addresses that were silent of late.
#[derive(Debug, Default)]
struct Silent {
    last: HashMap<IpAddr, MonotonicNs>,
    order: BTreeSet<(MonotonicNs, IpAddr)>,
}

impl Silent {
    /// Adds one, drops those of another time, and returns how many there are.
    fn note(&mut self, ip: IpAddr, at: MonotonicNs) -> usize {
        if let Some(before) = self.last.insert(ip, at) {
            self.order.remove(&(before, ip));
        }
        self.order.insert((at, ip));
        let newest = self.order.last().map_or(at, |(newest, _)| *newest);
        while let Some((oldest, ip)) = self.order.first().copied()
            && (newest.since(oldest) > AT_ONCE || self.order.len() > SILENT_MAX)
        {
            self.order.remove(&(oldest, ip));
            self.last.remove(&ip);
        }
        self.last.len()
    }
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Trusted,
    Suspect {
        since: MonotonicNs,
    },
    /// Was suspected in vain.
    Acquitted,
}

/// What a sighting did to a suspicion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Nothing.
    None,
    /// It begins.
    Begins,
    /// It was right, and is over: what this namespace held against others for their silence is void.
    Answered,
}

impl Suspicions {
    /// Takes in a sighting. `watched` tells how many addresses a namespace watches, and whether the sighting's is one.
    pub fn observe(&mut self, sighting: &Sighting, watched: impl FnOnce(NetnsCookie, IpAddr) -> (usize, bool)) -> Turn {
        // What happens on loopback says nothing of the link.
        if !sighting.netns.is_known() || sighting.peer.ip().is_loopback() {
            return Turn::None;
        }
        match kind(sighting.what) {
            Kind::Neither => Turn::None,
            Kind::Answer => self.answered(sighting.netns),
            Kind::Silence => self.silent(sighting, watched),
        }
    }

    fn answered(&mut self, netns: NetnsCookie) -> Turn {
        match self.views.remove(&netns).map(|view| view.state) {
            Some(State::Suspect { since }) => {
                self.due.remove(&(since + LASTS, netns));
                Turn::Answered
            }
            _ => Turn::None,
        }
    }

    fn silent(&mut self, sighting: &Sighting, watched: impl FnOnce(NetnsCookie, IpAddr) -> (usize, bool)) -> Turn {
        let Sighting { at, netns, peer, .. } = *sighting;
        let (watched, is_one) = watched(netns, peer.ip());
        if !is_one {
            return Turn::None;
        }
        let view = self.views.entry(netns).or_default();
        let silent = view.silent.note(peer.ip(), at);
        if view.state != State::Trusted || silent < SILENT_MIN || silent * 2 <= watched {
            return Turn::None;
        }
        view.state = State::Suspect { since: at };
        self.due.insert((at + LASTS, netns));
        Turn::Begins
    }

    /// Since when a namespace is suspected.
    #[must_use]
    pub fn since(&self, netns: Option<NetnsCookie>) -> Option<MonotonicNs> {
        match self.views.get(&netns?)?.state {
            State::Suspect { since } => Some(since),
            State::Trusted | State::Acquitted => None,
        }
    }

    /// What a subscriber in `netns` is told in the place of a verdict: while its namespace is suspected, silence says
    /// nothing.
    #[must_use]
    pub fn temper(&self, netns: Option<NetnsCookie>, standing: Standing) -> Standing {
        match self.since(netns) {
            Some(since) if is_silence(standing.reason) => Standing {
                verdict: Verdict::Unknown,
                reason: Reason::NodeSuspect,
                evidence: 0,
                at: since,
            },
            _ => standing,
        }
    }

    /// When the next suspicion is over.
    #[must_use]
    pub fn next_deadline(&self) -> Option<MonotonicNs> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Ends the suspicions that nothing has confirmed by `now`; returns whose, one at a call.
    pub fn expire(&mut self, now: MonotonicNs) -> Option<NetnsCookie> {
        let (at, netns) = self.due.first().copied().filter(|(at, _)| *at <= now)?;
        self.due.remove(&(at, netns));
        if let Some(view) = self.views.get_mut(&netns) {
            view.state = State::Acquitted;
            view.silent = Silent::default();
        }
        Some(netns)
    }

    /// A namespace watches nothing any more.
    pub fn forget(&mut self, netns: NetnsCookie) {
        self.answered(netns);
    }
}

enum Kind {
    Silence,
    Answer,
    Neither,
}

fn kind(what: Observation) -> Kind {
    match what {
        Observation::Unreachable
        | Observation::SynStalled { .. }
        | Observation::SynRetransmit
        | Observation::SynTimeout
        | Observation::Stalled
        | Observation::TimedOut
        | Observation::SoftError => Kind::Silence,
        Observation::Refused | Observation::Handshake { .. } | Observation::Reset | Observation::PeerClosed => {
            Kind::Answer
        }
        Observation::SynStart
        | Observation::Abandoned
        | Observation::ListenerClosed
        | Observation::ListenerOpened
        | Observation::Home
        | Observation::Ended => Kind::Neither,
    }
}

/// Whether a verdict for this reason stands on silence.
fn is_silence(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::Unreachable
            | Reason::SynStalled
            | Reason::SynRetransmit
            | Reason::SynTimeout
            | Reason::Stalled
            | Reason::TimedOut
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sighting::SocketCookie;

    const HERE: NetnsCookie = NetnsCookie(1);
    const STALLED: Observation = Observation::SynStalled {
        waited: Duration::from_millis(50),
    };
    const HANDSHAKE: Observation = Observation::Handshake {
        rtt: Duration::from_micros(80),
    };

    fn seen(at_ms: u64, netns: NetnsCookie, host: u8, what: Observation) -> Sighting {
        Sighting {
            in_user_ns: false,
            at: MonotonicNs(at_ms * 1_000_000),
            netns,
            socket: SocketCookie(1),
            peer: ([198, 18, 0, host], 80).into(),
            what,
        }
    }

    fn observe(suspicions: &mut Suspicions, script: &[Sighting]) -> Vec<Turn> {
        let five = |_: NetnsCookie, ip: IpAddr| (5, ip != IpAddr::from([198, 18, 0, 99]));
        script
            .iter()
            .map(|sighting| suspicions.observe(sighting, five))
            .collect()
    }

    fn silent(at_ms: u64, hosts: std::ops::RangeInclusive<u8>) -> Vec<Sighting> {
        hosts.map(|host| seen(at_ms, HERE, host, STALLED)).collect()
    }

    #[test]
    fn more_than_half_silent_within_a_second_turn_the_suspicion_round() {
        let mut suspicions = Suspicions::default();
        assert_eq!(observe(&mut suspicions, &silent(1_000, 1..=2)), [Turn::None; 2]);
        assert_eq!(suspicions.since(Some(HERE)), None);
        let third = seen(2_000, HERE, 3, Observation::SynRetransmit);
        assert_eq!(observe(&mut suspicions, &[third]), [Turn::Begins]);
        assert_eq!(suspicions.since(Some(HERE)), Some(third.at));
        assert_eq!(
            (suspicions.since(Some(NetnsCookie(2))), suspicions.since(None)),
            (None, None)
        );
        assert_eq!(observe(&mut suspicions, &silent(2_001, 4..=5)), [Turn::None; 2]);
        let at_home = Sighting {
            peer: ([127, 0, 0, 1], 80).into(),
            ..seen(2_002, HERE, 0, HANDSHAKE)
        };
        assert_eq!(
            observe(&mut suspicions, &[at_home]),
            [Turn::None],
            "no answer from elsewhere"
        );
    }

    #[test]
    fn half_is_not_more_than_half_and_neither_are_few_strangers_or_those_of_another_time() {
        for script in [
            silent(1_000, 1..=2),
            [silent(1_000, 1..=2), silent(1_000, 1..=2)].concat(),
            [silent(1_000, 1..=2), silent(2_001, 3..=3)].concat(),
            [silent(1_000, 1..=2), vec![seen(1_000, HERE, 99, STALLED)]].concat(),
            [silent(1_000, 1..=2), vec![seen(1_000, NetnsCookie(2), 3, STALLED)]].concat(),
            [
                silent(1_000, 1..=2),
                vec![seen(1_001, HERE, 9, HANDSHAKE)],
                silent(1_002, 3..=3),
            ]
            .concat(),
            [silent(1_000, 1..=2), vec![seen(1_000, HERE, 3, Observation::Refused)]].concat(),
        ] {
            assert!(
                !observe(&mut Suspicions::default(), &script).contains(&Turn::Begins),
                "{script:?}"
            );
        }
        let mut suspicions = Suspicions::default();
        let turns = silent(1_000, 1..=3)
            .iter()
            .map(|s| suspicions.observe(s, |_, _| (6, true)))
            .collect::<Vec<_>>();
        assert_eq!(turns, [Turn::None; 3]);
    }

    #[test]
    fn an_answer_ends_it_and_so_does_time_after_which_an_answer_is_needed_first() {
        let mut suspicions = Suspicions::default();
        observe(&mut suspicions, &silent(1_000, 1..=3));
        assert_eq!(
            observe(&mut suspicions, &[seen(1_500, HERE, 4, HANDSHAKE)]),
            [Turn::Answered]
        );
        assert_eq!((suspicions.since(Some(HERE)), suspicions.next_deadline()), (None, None));

        observe(&mut suspicions, &silent(2_000, 1..=3));
        let end = MonotonicNs(12_000_000_000);
        assert_eq!(suspicions.next_deadline(), Some(end));
        assert_eq!(suspicions.expire(MonotonicNs(end.0 - 1)), None);
        assert_eq!(suspicions.expire(end), Some(HERE));
        assert_eq!((suspicions.since(Some(HERE)), suspicions.expire(end)), (None, None));
        assert_eq!(observe(&mut suspicions, &silent(13_000, 1..=5)), [Turn::None; 5]);
        assert_eq!(
            observe(&mut suspicions, &[seen(14_000, HERE, 4, HANDSHAKE)]),
            [Turn::None]
        );
        assert_eq!(observe(&mut suspicions, &silent(15_000, 1..=3))[2], Turn::Begins);
    }

    #[test]
    fn two_namespaces_suspected_in_the_same_moment_each_have_their_end() {
        let mut suspicions = Suspicions::default();
        let elsewhere: Vec<_> = silent(1_000, 1..=3)
            .into_iter()
            .map(|sighting| Sighting {
                netns: NetnsCookie(2),
                ..sighting
            })
            .collect();
        observe(&mut suspicions, &[silent(1_000, 1..=3), elsewhere].concat());
        suspicions.forget(NetnsCookie(2));
        assert_eq!(suspicions.since(Some(NetnsCookie(2))), None);
        let end = MonotonicNs(11_000_000_000);
        assert_eq!((suspicions.expire(end), suspicions.expire(end)), (Some(HERE), None));
    }

    #[test]
    fn only_silence_is_tempered() {
        let mut suspicions = Suspicions::default();
        observe(&mut suspicions, &silent(1_000, 1..=3));
        let dead = |reason| Standing {
            verdict: Verdict::Dead,
            reason,
            evidence: 1,
            at: MonotonicNs(1),
        };
        let told = suspicions.temper(Some(HERE), dead(Reason::SynStalled));
        assert_eq!((told.verdict, told.reason), (Verdict::Unknown, Reason::NodeSuspect));
        for (netns, reason) in [
            (Some(HERE), Reason::Refused),
            (None, Reason::SynStalled),
            (Some(NetnsCookie(2)), Reason::SynStalled),
        ] {
            assert_eq!(suspicions.temper(netns, dead(reason)), dead(reason));
        }
    }
}
