mod connections;
mod pod;
mod properties;
mod scope;
mod table;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use obit_protocol::{Reason, Verdict};

use super::{About, Change, LIFETIME, Ledger, Standing, WITNESSES_MAX};
use crate::sighting::{MonotonicNs, NetnsCookie, Observation, Sighting, SocketCookie};

const OWN: NetnsCookie = NetnsCookie(1);
const ELSEWHERE: NetnsCookie = NetnsCookie(2);
const THIRD: NetnsCookie = NetnsCookie(3);
const WAITED: Duration = Duration::from_millis(50);
const STALLED_DIAL: Observation = Observation::SynStalled { waited: WAITED };
const RTT: Duration = Duration::from_micros(80);
const HANDSHAKE: Observation = Observation::Handshake { rtt: RTT };

fn ms(n: u64) -> MonotonicNs {
    MonotonicNs(n * 1_000_000)
}

fn peer() -> SocketAddr {
    "198.18.0.2:8080".parse().unwrap()
}

fn neighbour_port() -> SocketAddr {
    "198.18.0.2:9090".parse().unwrap()
}

fn seen(at: u64, netns: NetnsCookie, socket: u64, what: Observation) -> Sighting {
    Sighting {
        in_user_ns: false,
        at: ms(at),
        netns,
        socket: SocketCookie(socket),
        peer: peer(),
        what,
    }
}

fn watching(peers: &[SocketAddr]) -> Ledger {
    let mut ledger = Ledger::default();
    for peer in peers {
        ledger.watch(*peer);
    }
    ledger
}

/// A ledger after these sightings, each taken in when it was made.
fn after(script: &[Sighting]) -> Ledger {
    let mut ledger = watching(&[peer(), neighbour_port()]);
    for sighting in script {
        ledger.observe(sighting.at, sighting);
    }
    ledger
}

fn verdict(ledger: &Ledger, netns: NetnsCookie, now: u64) -> (Verdict, Reason) {
    let standing = ledger.verdict(peer(), Some(netns), ms(now));
    (standing.verdict, standing.reason)
}

#[test]
fn one_unreachable_condemns_the_address_for_every_port() {
    let ledger = after(&[seen(10, OWN, 1, Observation::Unreachable)]);
    let other = ledger.verdict(neighbour_port(), Some(OWN), ms(11));
    assert_eq!((other.verdict, other.reason), (Verdict::Dead, Reason::Unreachable));
}

#[test]
fn a_refusal_condemns_one_port_only() {
    let ledger = after(&[seen(10, OWN, 1, Observation::Refused)]);
    assert_eq!(ledger.verdict(neighbour_port(), Some(OWN), ms(11)), Standing::UNKNOWN);
}

#[test]
fn a_handshake_on_one_port_clears_the_address_but_not_a_refusal_on_another() {
    let mut ledger = after(&[
        seen(10, OWN, 1, Observation::Refused),
        seen(11, OWN, 2, Observation::Unreachable),
    ]);
    let elsewhere = Sighting {
        peer: neighbour_port(),
        ..seen(12, OWN, 3, HANDSHAKE)
    };
    assert_eq!(ledger.observe(ms(12), &elsewhere).about, About::Address(peer().ip()));
    assert_eq!(verdict(&ledger, OWN, 13), (Verdict::Dead, Reason::Refused));
    assert_eq!(
        ledger.verdict(neighbour_port(), Some(OWN), ms(13)).verdict,
        Verdict::Alive
    );
}

#[test]
fn a_peer_that_refused_stays_dead_when_its_syns_are_then_swallowed() {
    let ledger = after(&[
        seen(10, OWN, 1, Observation::Refused),
        seen(100, OWN, 2, STALLED_DIAL),
        seen(120, OWN, 9, Observation::PeerClosed),
    ]);
    assert_eq!(verdict(&ledger, OWN, 121), (Verdict::Dead, Reason::Refused));
}

#[test]
fn a_dial_that_began_before_another_was_answered_is_no_evidence() {
    // A full accept queue drops some SYNs of a burst and answers the others.
    let ledger = after(&[
        seen(100, OWN, 1, HANDSHAKE),
        seen(149, OWN, 2, STALLED_DIAL),
        seen(150, OWN, 3, STALLED_DIAL),
        seen(1_099, OWN, 2, Observation::SynRetransmit),
    ]);
    assert_eq!(verdict(&ledger, OWN, 1_100), (Verdict::Alive, Reason::Handshake));
}

#[test]
fn a_handshake_read_after_its_dial_stalled_takes_the_stall_back() {
    let ledger = after(&[seen(150, OWN, 1, STALLED_DIAL), seen(149, OWN, 1, HANDSHAKE)]);
    assert_eq!(verdict(&ledger, OWN, 150), (Verdict::Alive, Reason::Handshake));
}

#[test]
fn a_dial_given_up_after_silence_renews_the_silence_and_adds_none() {
    let script = |last: Observation| {
        after(&[
            seen(1_000, OWN, 1, STALLED_DIAL),
            seen(1_011, OWN, 2, STALLED_DIAL),
            seen(1_500, OWN, 2, Observation::SynRetransmit),
            seen(30_000, OWN, 2, last),
        ])
    };
    assert_eq!(verdict(&script(Observation::Ended), OWN, 61_600).0, Verdict::Unknown);
    let ledger = script(Observation::Abandoned);
    let standing = ledger.verdict(peer(), Some(OWN), ms(61_600));
    assert_eq!((standing.verdict, standing.evidence), (Verdict::Dead, 2));
    assert_eq!(verdict(&ledger, OWN, 90_000).0, Verdict::Unknown);
}

#[test]
fn a_steady_stream_of_unanswered_dials_is_more_than_one_question() {
    let dials = |from: u64| (0..4).map(move |n| seen(from + 3 * n, OWN, n, STALLED_DIAL));
    assert_eq!(
        verdict(&after(&dials(10).collect::<Vec<_>>()), OWN, 20).0,
        Verdict::Suspect
    );
    assert_eq!(
        verdict(&after(&dials(10).chain(dials(22)).collect::<Vec<_>>()), OWN, 40).0,
        Verdict::Dead
    );
}

#[test]
fn a_listener_that_closed_says_nothing_once_a_later_dial_was_answered() {
    let ledger = after(&[
        seen(100, OWN, 1, HANDSHAKE),
        seen(99, ELSEWHERE, 2, Observation::ListenerClosed),
        seen(98, OWN, 3, Observation::Refused),
        seen(97, OWN, 3, Observation::Unreachable),
        seen(96, OWN, 3, Observation::SynTimeout),
    ]);
    assert_eq!(verdict(&ledger, OWN, 101).0, Verdict::Alive);
}

#[test]
fn what_one_met_oneself_outlasts_an_answer_given_to_another_as_a_suspicion() {
    let evidence = [
        vec![seen(10, OWN, 1, Observation::Refused)],
        vec![seen(10, OWN, 1, Observation::Unreachable)],
        vec![seen(10, OWN, 1, STALLED_DIAL), seen(21, OWN, 2, STALLED_DIAL)],
    ];
    for script in evidence {
        let mut ledger = after(&script);
        let answer = seen(30, ELSEWHERE, 9, HANDSHAKE);
        ledger.observe(answer.at, &answer);
        assert_eq!(verdict(&ledger, OWN, 31).0, Verdict::Suspect);
        assert_eq!(verdict(&ledger, THIRD, 31).0, Verdict::Alive);
        // Met again: dead again.
        for again in &script {
            let at = again.at + Duration::from_millis(80);
            let again = Sighting { at, ..*again };
            ledger.observe(again.at, &again);
        }
        assert_eq!(verdict(&ledger, OWN, 101).0, Verdict::Dead);
        let answer = seen(200, OWN, 10, HANDSHAKE);
        ledger.observe(answer.at, &answer);
        assert_eq!(verdict(&ledger, OWN, 201).0, Verdict::Alive);
    }
}

#[test]
fn evidence_expires_after_a_minute_and_fresh_evidence_renews_it() {
    let mut ledger = after(&[
        seen(0, OWN, 1, Observation::Refused),
        seen(50_000, OWN, 2, Observation::Refused),
    ]);
    assert_eq!(verdict(&ledger, OWN, 109_999).0, Verdict::Dead);
    assert_eq!(verdict(&ledger, OWN, 110_000).0, Verdict::Unknown);
    let mut changed = vec![];
    assert_eq!(ledger.next_deadline(), Some(ms(60_000)));
    ledger.expire(ms(60_000), &mut changed);
    assert_eq!(verdict(&ledger, OWN, 60_000).0, Verdict::Dead);
    assert_eq!(ledger.next_deadline(), Some(ms(110_000)));
    ledger.expire(ms(110_000), &mut changed);
    assert_eq!((ledger.next_deadline(), changed), (None, vec![peer().ip(); 2]));
    assert_eq!(ledger.facts(), 2, "nothing is kept but the two watched ports");
}

#[test]
fn unwatching_forgets_and_unwatched_addresses_are_never_remembered() {
    let mut ledger = after(&[seen(10, OWN, 1, Observation::Unreachable)]);
    ledger.unwatch(peer());
    assert_eq!(
        ledger.verdict(neighbour_port(), Some(OWN), ms(11)).verdict,
        Verdict::Dead
    );
    ledger.unwatch(neighbour_port());
    assert!(ledger.is_empty() && ledger.next_deadline().is_none() && ledger.facts() == 0);
    let change = ledger.observe(ms(12), &seen(12, OWN, 1, Observation::Refused));
    assert_eq!(change, Change::NONE);
    assert_eq!(ledger.facts(), 0);
    ledger.watch(peer());
    assert_eq!(ledger.verdict(peer(), Some(OWN), ms(13)), Standing::UNKNOWN);
}

#[test]
fn a_standing_tells_when_the_deciding_observation_was_made_and_how_many_there_were() {
    let ledger = after(&[
        seen(10, OWN, 1, STALLED_DIAL),
        seen(30, OWN, 2, STALLED_DIAL),
        seen(31, OWN, 3, STALLED_DIAL),
    ]);
    let expected = Standing {
        verdict: Verdict::Dead,
        reason: Reason::SynStalled,
        evidence: 3,
        at: ms(30),
    };
    assert_eq!(ledger.verdict(peer(), Some(OWN), ms(32)), expected);
}

#[test]
fn more_namespaces_than_fit_push_out_the_stalest() {
    let witnesses = u64::try_from(WITNESSES_MAX).unwrap();
    let mut ledger = after(&[]);
    for n in 0..witnesses + 10 {
        ledger.observe(ms(n), &seen(n, NetnsCookie(100 + n), n, STALLED_DIAL));
    }
    assert!(ledger.facts() <= WITNESSES_MAX + 10);
    let own_of = |n| {
        ledger
            .verdict(peer(), Some(NetnsCookie(100 + n)), ms(witnesses + 10))
            .verdict
    };
    assert_eq!((own_of(0), own_of(witnesses)), (Verdict::Suspect, Verdict::Suspect));
}

#[test]
fn a_place_for_each_namespace_is_bounded_too() {
    let peer: SocketAddr = "127.0.0.1:80".parse().unwrap();
    let mut ledger = watching(&[peer]);
    for n in 1..5_000u64 {
        let refused = Sighting {
            peer,
            ..seen(n, NetnsCookie(n), n, Observation::Refused)
        };
        ledger.observe(ms(n), &refused);
    }
    assert!(ledger.facts() < 4 * WITNESSES_MAX, "{}", ledger.facts());
    let late = ms(5_000) + LIFETIME;
    ledger.expire(late, &mut vec![]);
    assert_eq!(ledger.facts(), 1);
}

fn address_of(change: &Change) -> Option<IpAddr> {
    match change.about {
        About::Nobody => None,
        About::Peer(peer) => Some(peer.ip()),
        About::Address(ip) => Some(ip),
    }
}

#[test]
fn every_sighting_that_can_move_a_verdict_says_whose() {
    let mut ledger = after(&[]);
    let mut about = |what| address_of(&ledger.observe(ms(5_000), &seen(5_000, OWN, 1, what)));
    use Observation as O;
    for what in [
        O::Refused,
        O::Unreachable,
        STALLED_DIAL,
        O::SynRetransmit,
        O::SynTimeout,
        O::SoftError,
        O::ListenerClosed,
        O::ListenerOpened,
        O::Reset,
        O::Stalled,
        O::TimedOut,
        HANDSHAKE,
    ] {
        assert_eq!(about(what), Some(peer().ip()), "{what:?}");
    }
    for what in [O::SynStart, O::Abandoned, O::Home, O::Ended] {
        assert_eq!(about(what), None, "{what:?}");
    }
}
