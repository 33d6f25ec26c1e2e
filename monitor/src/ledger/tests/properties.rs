//! What holds for any sequence of sightings.

use std::time::Duration;

use obit_protocol::Verdict;
use proptest::prelude::*;

use super::{ELSEWHERE, HANDSHAKE, OWN, RTT, STALLED_DIAL, THIRD, WAITED, ms, neighbour_port, peer, seen, watching};
use crate::ledger::{Ledger, OPEN_MAX};
use crate::sighting::strategy::any_observation;
use crate::sighting::{MonotonicNs, NetnsCookie, Observation, Sighting, SocketCookie};

fn any_netns() -> impl Strategy<Value = NetnsCookie> {
    prop_oneof![Just(OWN), Just(ELSEWHERE), Just(THIRD), Just(NetnsCookie::UNKNOWN)]
}

/// A script of up to a few minutes: gaps of 0 to 3 s, sometimes long enough for everything to expire.
fn script(netns: impl Strategy<Value = NetnsCookie>) -> impl Strategy<Value = Vec<Sighting>> {
    let gap = prop_oneof![9 => 0u64..3_000, 1 => 50_000u64..70_000];
    let step = (
        gap,
        netns,
        0u64..6,
        any::<bool>(),
        any_observation(Just(WAITED), Just(RTT)),
    );
    prop::collection::vec(step, 0..60).prop_map(|steps| {
        let mut now = 10_000;
        steps
            .into_iter()
            .map(|(gap, netns, socket, other_port, what)| {
                now += gap;
                let peer = if other_port { neighbour_port() } else { peer() };
                Sighting {
                    peer,
                    ..seen(now, netns, socket, what)
                }
            })
            .collect()
    })
}

fn replay(script: &[Sighting]) -> Ledger {
    let mut ledger = watching(&[peer(), neighbour_port()]);
    for sighting in script {
        ledger.expire(sighting.at, &mut vec![]);
        ledger.observe(sighting.at, sighting);
    }
    ledger
}

/// What two foreign namespaces may agree on, or the node itself knows.
fn is_hard(what: Observation) -> bool {
    matches!(
        what,
        Observation::Refused | Observation::Unreachable | Observation::SynTimeout | Observation::ListenerClosed
    )
}

fn end(script: &[Sighting]) -> MonotonicNs {
    script.last().map_or(ms(0), |last| last.at)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn one_foreign_namespace_never_makes_a_peer_dead(script in script(Just(ELSEWHERE))) {
        // The kernel half believes nobody who calls an address its own: of this there is none from a namespace without it.
        let script: Vec<_> = script.into_iter().filter(|s| s.what != Observation::ListenerClosed).collect();
        let ledger = replay(&script);
        for subscriber in [Some(OWN), Some(THIRD), None] {
            for peer in [peer(), neighbour_port()] {
                prop_assert_ne!(ledger.verdict(peer, subscriber, end(&script)).verdict, Verdict::Dead);
            }
        }
    }

    #[test]
    fn silence_seen_by_any_number_of_foreign_namespaces_never_makes_a_peer_dead(
        script in script(prop_oneof![Just(ELSEWHERE), Just(THIRD), Just(NetnsCookie(4))])
    ) {
        let silence: Vec<_> = script
            .into_iter()
            .filter(|s| !is_hard(s.what))
            .collect();
        prop_assert_ne!(replay(&silence).verdict(peer(), Some(OWN), end(&silence)).verdict, Verdict::Dead);
    }

    #[test]
    fn nobody_is_dead_without_evidence_that_qualifies(script in script(any_netns())) {
        let now = end(&script);
        let dead = replay(&script).verdict(peer(), Some(OWN), now).verdict == Verdict::Dead;
        // Independent of the ledger: what may condemn, since the last handshake. Evidence counts for a minute; the first
        // of two silent sockets may be a minute older than the second, the first of two that agree a second.
        let answered = |s: &Sighting| s.what == HANDSHAKE && (s.peer == peer());
        let since = script.iter().rposition(answered).map_or(0, |n| n + 1);
        let within = |age| script[since..].iter().filter(move |s| now.since(s.at) < age);
        let minute = super::LIFETIME;
        let refused = |s: &&Sighting| s.what == Observation::Refused && s.peer == peer();
        let unreachable = |s: &&Sighting| s.what == Observation::Unreachable;
        let timed_out = |s: &&Sighting| s.what == Observation::SynTimeout;
        let deaf = |s: &&Sighting| s.what == Observation::ListenerClosed && s.peer == peer();
        // A dial given up after silence renews the silence, whenever that began.
        let renewed = within(minute).any(|s| s.netns == OWN && s.what == Observation::Abandoned);
        let own = |what: Observation, age| {
            let age = if renewed { Duration::MAX } else { age };
            within(age).filter(|s| s.netns == OWN && s.what == what).count()
        };
        let own_hard = within(minute).any(|s| s.netns == OWN && (refused(&s) || unreachable(&s) || timed_out(&s)));
        let agree = |seen: Vec<&Sighting>| {
            let pairs = seen.iter().flat_map(|a| seen.iter().map(move |b| (a, b)));
            let mut foreign = pairs.filter(|(a, b)| a.netns.is_known() && b.netns.is_known());
            foreign.any(|(a, b)| a.netns != b.netns && a.at.distance(b.at) <= Duration::from_secs(1))
        };
        let agreed = minute + Duration::from_secs(1);
        let silent_connections = own(Observation::Stalled, minute * 2) + own(Observation::TimedOut, minute * 2);
        let may_condemn = own_hard
            || agree(within(agreed).filter(refused).collect())
            || agree(within(agreed).filter(unreachable).collect())
            || agree(within(agreed).filter(timed_out).collect())
            || within(minute).any(|s| deaf(&s))
            || own(Observation::SynRetransmit, minute) >= 1
            || own(STALLED_DIAL, minute * 2) >= 2
            || (silent_connections >= 1 && own(STALLED_DIAL, minute * 2) >= 1);
        prop_assert!(!dead || may_condemn, "{script:?}");
    }

    #[test]
    fn after_a_handshake_a_peer_is_alive_at_once_for_everyone_who_saw_nothing_else(
        script in script(any_netns()), netns in any_netns()
    ) {
        let mut ledger = replay(&script);
        let now = end(&script) + Duration::from_nanos(1);
        ledger.observe(now, &Sighting { at: now, ..seen(0, netns, 77, HANDSHAKE) });
        for subscriber in [Some(OWN), Some(ELSEWHERE), Some(THIRD), None] {
            let verdict = ledger.verdict(peer(), subscriber, now).verdict;
            let has_seen = script.iter().any(|s| Some(s.netns) == subscriber && s.what != HANDSHAKE);
            if Some(netns) == subscriber || !netns.is_known() || !has_seen {
                prop_assert_eq!(verdict, Verdict::Alive);
            } else {
                // Its own evidence is in doubt: a reason to ask.
                prop_assert!(matches!(verdict, Verdict::Alive | Verdict::Suspect), "{verdict:?}");
            }
        }
    }

    #[test]
    fn without_a_handshake_a_listener_or_expiry_no_verdict_gets_milder(script in script(any_netns())) {
        let mut ledger = watching(&[peer(), neighbour_port()]);
        let rank = |verdict| match verdict {
            Verdict::Dead => 2,
            Verdict::Suspect => 1,
            _ => 0,
        };
        let mut worst = 0;
        for sighting in script.iter().filter(|s| s.what != HANDSHAKE && s.what != Observation::ListenerOpened) {
            // All within a minute: time stands still but for the order.
            ledger.observe(ms(20_000), &Sighting { at: ms(20_000), ..*sighting });
            let now = rank(ledger.verdict(peer(), Some(OWN), ms(20_000)).verdict);
            prop_assert!(now >= worst, "{sighting:?}");
            worst = now;
        }
    }

    #[test]
    fn the_same_sightings_give_the_same_verdicts_and_expiring_early_changes_none(script in script(any_netns())) {
        let (swept, mut unswept) = (replay(&script), watching(&[peer(), neighbour_port()]));
        for sighting in &script {
            unswept.observe(sighting.at, sighting);
        }
        for subscriber in [Some(OWN), Some(ELSEWHERE), None] {
            for peer in [peer(), neighbour_port()] {
                let verdicts = [&swept, &unswept].map(|ledger| {
                    let standing = ledger.verdict(peer, subscriber, end(&script));
                    (standing.verdict, standing.reason)
                });
                prop_assert_eq!(verdicts[0], verdicts[1]);
            }
        }
    }

    #[test]
    fn a_change_of_verdict_is_always_announced(script in script(any_netns())) {
        let mut ledger = watching(&[peer(), neighbour_port()]);
        for sighting in &script {
            // Expiry announces its own changes.
            ledger.expire(sighting.at, &mut vec![]);
            let standings = |ledger: &Ledger| {
                [peer(), neighbour_port()].map(|peer| {
                    [Some(OWN), Some(ELSEWHERE), None].map(|who| ledger.verdict(peer, who, sighting.at))
                })
            };
            let before = standings(&ledger);
            let change = ledger.observe(sighting.at, sighting);
            let after = standings(&ledger);
            for (n, peer) in [peer(), neighbour_port()].into_iter().enumerate() {
                let announced = match change.about {
                    crate::ledger::About::Nobody => false,
                    crate::ledger::About::Peer(about) => about == peer,
                    crate::ledger::About::Address(ip) => ip == peer.ip(),
                };
                prop_assert!(announced || before[n] == after[n], "{sighting:?} moved {peer}");
            }
        }
    }

    #[test]
    fn everything_expires_and_leaves_nothing_behind(script in script(any_netns())) {
        let closed: Vec<_> = script.into_iter().filter(|s| s.what != HANDSHAKE).collect();
        let mut ledger = replay(&closed);
        ledger.expire(end(&closed) + super::LIFETIME, &mut vec![]);
        prop_assert_eq!(ledger.next_deadline(), None);
        prop_assert!(ledger.facts() <= 4, "{}", ledger.facts());
        prop_assert_eq!(ledger.verdict(peer(), Some(OWN), end(&closed) + super::LIFETIME).verdict, Verdict::Unknown);
    }
}

#[test]
fn what_says_nothing_leaves_nothing_behind() {
    let mut ledger = watching(&[peer(), neighbour_port()]);
    let before = ledger.facts();
    for peer in [peer(), neighbour_port()] {
        let ended = Sighting {
            peer,
            ..seen(1_000, OWN, 0, Observation::Ended)
        };
        ledger.observe(ended.at, &ended);
    }
    assert_eq!(ledger.facts(), before);
}

#[test]
fn a_hundred_thousand_sockets_to_one_peer_cost_bounded_memory() {
    let mut ledger = watching(&[peer()]);
    for n in 0..100_000u64 {
        let what = [HANDSHAKE, STALLED_DIAL, Observation::Stalled, HANDSHAKE][usize::try_from(n % 4).unwrap()];
        let sighting = Sighting {
            socket: SocketCookie(n),
            ..seen(1_000 + n, OWN, 0, what)
        };
        ledger.observe(sighting.at, &sighting);
    }
    assert!(ledger.facts() <= OPEN_MAX + 10, "{}", ledger.facts());
}
