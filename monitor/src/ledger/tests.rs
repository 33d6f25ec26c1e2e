mod properties;
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
const HANDSHAKE: Observation = Observation::Handshake {
    rtt: Duration::from_micros(80),
};

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
            seen(1_010, OWN, 2, STALLED_DIAL),
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
        vec![seen(10, OWN, 1, STALLED_DIAL), seen(11, OWN, 2, STALLED_DIAL)],
    ];
    for script in evidence {
        let mut ledger = after(&script);
        let answer = seen(20, ELSEWHERE, 9, HANDSHAKE);
        ledger.observe(answer.at, &answer);
        assert_eq!(verdict(&ledger, OWN, 21).0, Verdict::Suspect);
        assert_eq!(verdict(&ledger, THIRD, 21).0, Verdict::Alive);
        // Met again: dead again.
        for again in &script {
            let again = Sighting { at: ms(100), ..*again };
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
fn loopback_and_link_local_mean_something_only_in_their_own_namespace() {
    for address in ["127.0.0.1:80", "[::1]:80", "169.254.1.1:80", "[fe80::1]:80"] {
        let peer: SocketAddr = address.parse().unwrap();
        let mut ledger = watching(&[peer]);
        for netns in [ELSEWHERE, THIRD] {
            let refused = Sighting {
                peer,
                ..seen(10, netns, netns.0, Observation::Refused)
            };
            ledger.observe(ms(10), &refused);
        }
        assert_eq!(ledger.verdict(peer, Some(OWN), ms(11)), Standing::UNKNOWN, "{address}");
        assert_eq!(ledger.verdict(peer, None, ms(11)), Standing::UNKNOWN, "{address}");
        assert_eq!(
            ledger.verdict(peer, Some(THIRD), ms(11)).verdict,
            Verdict::Dead,
            "{address}"
        );
    }
}

#[test]
fn of_a_virtual_address_only_connections_are_told() {
    let mut ledger = Ledger::with_virtual_addresses(vec!["198.18.0.0/24".parse().unwrap()]);
    let real: SocketAddr = "198.18.1.2:8080".parse().unwrap();
    for peer in [peer(), real] {
        ledger.watch(peer);
    }
    use Observation as O;
    let told = [
        (O::Reset, Some(Verdict::Dead)),
        (O::PeerClosed, Some(Verdict::Draining)),
        (O::TimedOut, Some(Verdict::Dead)),
        (O::Stalled, Some(Verdict::Suspect)),
        (O::SoftError, Some(Verdict::Suspect)),
        (O::Refused, None),
        (O::Unreachable, None),
        (O::SynTimeout, None),
        (STALLED_DIAL, None),
        (O::SynRetransmit, None),
        (O::ListenerClosed, None),
        (HANDSHAKE, None),
    ];
    for (socket, (what, verdict)) in (1..).zip(told.into_iter().chain(told)) {
        let change = ledger.observe(ms(10), &seen(10, OWN, socket, what));
        let news: Vec<_> = change
            .connections
            .iter()
            .map(|it| (it.socket.0, it.standing.verdict))
            .collect();
        assert_eq!(
            news,
            verdict.map(|it| (socket, it)).into_iter().collect::<Vec<_>>(),
            "{what:?}"
        );
        assert_eq!(change.about, About::Nobody, "{what:?}");
        assert_eq!(ledger.verdict(peer(), Some(OWN), ms(10)), Standing::UNKNOWN, "{what:?}");
    }
    let refused = Sighting {
        peer: real,
        ..seen(20, OWN, 99, O::Refused)
    };
    assert_eq!(ledger.observe(ms(20), &refused).about, About::Peer(real));
}

#[test]
fn a_subscriber_whose_namespace_is_not_known_sees_everything_from_elsewhere() {
    let mut ledger = after(&[seen(10, OWN, 1, Observation::Refused)]);
    assert_eq!(ledger.verdict(peer(), None, ms(11)).verdict, Verdict::Suspect);
    ledger.observe(ms(20), &seen(20, ELSEWHERE, 2, Observation::Refused));
    assert_eq!(ledger.verdict(peer(), None, ms(21)).verdict, Verdict::Dead);
}

#[test]
fn a_namespace_the_kernel_did_not_name_is_nobodys_own_and_agrees_with_nobody() {
    let nameless = NetnsCookie::UNKNOWN;
    let ledger = after(&[
        seen(10, nameless, 1, Observation::Refused),
        seen(20, ELSEWHERE, 2, Observation::Refused),
        seen(30, nameless, 3, Observation::Refused),
    ]);
    assert_eq!(verdict(&ledger, OWN, 31).0, Verdict::Suspect);
    assert_eq!(verdict(&ledger, nameless, 31).0, Verdict::Suspect);
}

#[test]
fn two_namespaces_that_saw_it_more_than_a_second_apart_do_not_agree() {
    let script = |gap| {
        after(&[
            seen(0, ELSEWHERE, 1, Observation::Refused),
            seen(gap, THIRD, 2, Observation::Refused),
        ])
    };
    assert_eq!(verdict(&script(1_001), OWN, 1_002).0, Verdict::Suspect);
    assert_eq!(verdict(&script(1_000), OWN, 1_002).0, Verdict::Dead);
}

#[test]
fn connections_closed_one_after_another_are_no_evidence_but_closed_together_they_are() {
    let open = |sockets: &[u64]| -> Vec<Sighting> { sockets.iter().map(|s| seen(*s, OWN, *s, HANDSHAKE)).collect() };
    let close = |at, socket| seen(at, OWN, socket, Observation::PeerClosed);
    let run = |script: Vec<Sighting>| verdict(&after(&script), OWN, 10_000).0;

    assert_eq!(
        run([open(&[1, 2]), vec![close(1_000, 1), close(5_000, 2)]].concat()),
        Verdict::Alive
    );
    assert_eq!(
        run([open(&[1, 2]), vec![close(1_000, 1), close(1_100, 2)]].concat()),
        Verdict::Suspect
    );
    assert_eq!(run([open(&[1]), vec![close(1_000, 1)]].concat()), Verdict::Suspect);
    // One closed long before, two together: the two decide.
    let script = vec![close(1_000, 1), close(5_000, 2), close(5_001, 3)];
    assert_eq!(run([open(&[1, 2, 3]), script].concat()), Verdict::Suspect);
    // Accepted again since.
    assert_eq!(
        run([open(&[1]), vec![close(1_000, 1)], open(&[4])].concat()),
        Verdict::Alive
    );
    // Closed by us: no evidence.
    let ended = vec![seen(1_000, OWN, 1, Observation::Ended), close(1_001, 2)];
    assert_eq!(run([open(&[1, 2]), ended].concat()), Verdict::Suspect);
    assert_eq!(
        run([open(&[1]), vec![seen(1_000, OWN, 1, Observation::Ended)]].concat()),
        Verdict::Alive
    );
}

#[test]
fn the_end_of_a_connection_never_seen_to_open_is_not_the_end_of_all() {
    let ledger = after(&[seen(10, OWN, 1, Observation::Reset)]);
    assert_eq!(verdict(&ledger, OWN, 11).0, Verdict::Unknown);
    let mut ledger = after(&[seen(10, OWN, 1, HANDSHAKE)]);
    ledger.forget_connections();
    ledger.observe(ms(20), &seen(20, OWN, 1, Observation::Reset));
    assert_eq!(verdict(&ledger, OWN, 21).0, Verdict::Alive);
}

#[test]
fn news_of_a_connection_names_the_connection_and_a_fin_leaves_its_last_words_to_be_read() {
    let mut ledger = after(&[]);
    let mut news = |at, socket, what| {
        let change = ledger.observe(ms(at), &seen(at, OWN, socket, what));
        change
            .connections
            .iter()
            .map(|it| {
                assert_eq!((it.peer, it.netns), (peer(), OWN));
                (it.socket.0, it.standing.verdict, it.standing.reason)
            })
            .collect::<Vec<_>>()
    };
    use Observation as O;
    assert_eq!(news(1, 1, O::Reset), [(1, Verdict::Dead, Reason::Reset)]);
    assert_eq!(news(2, 2, O::PeerClosed), [(2, Verdict::Draining, Reason::PeerClosed)]);
    assert_eq!(news(3, 3, O::TimedOut), [(3, Verdict::Dead, Reason::TimedOut)]);
    assert_eq!(news(4, 1, HANDSHAKE), []);
    assert_eq!(news(5, 4, O::Stalled), [(4, Verdict::Suspect, Reason::Stalled)]);
    assert_eq!(news(6, 4, O::Stalled), []);
    let both = [(4, Verdict::Dead, Reason::Stalled), (5, Verdict::Dead, Reason::Stalled)];
    assert_eq!(news(7, 5, O::Stalled), both);
    assert_eq!(news(8, 6, O::Stalled), [(6, Verdict::Dead, Reason::Stalled)]);
    assert_eq!(news(9, 7, O::SoftError), [(7, Verdict::Suspect, Reason::Unreachable)]);
    for what in [
        O::Refused,
        O::Unreachable,
        STALLED_DIAL,
        O::SynStart,
        O::SynRetransmit,
        O::SynTimeout,
        O::Abandoned,
        O::SoftError,
        O::ListenerClosed,
        O::ListenerOpened,
        O::Ended,
    ] {
        assert_eq!(news(100, 7, what), [], "{what:?}");
    }
}

#[test]
fn a_standing_tells_when_the_deciding_observation_was_made_and_how_many_there_were() {
    let ledger = after(&[
        seen(10, OWN, 1, STALLED_DIAL),
        seen(20, OWN, 2, STALLED_DIAL),
        seen(30, OWN, 3, STALLED_DIAL),
    ]);
    let expected = Standing {
        verdict: Verdict::Dead,
        reason: Reason::SynStalled,
        evidence: 3,
        at: ms(20),
    };
    assert_eq!(ledger.verdict(peer(), Some(OWN), ms(31)), expected);
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
