//! Where something was seen, and what kind of address it was about.

use std::net::SocketAddr;

use obit_protocol::Verdict;

use super::{ELSEWHERE, HANDSHAKE, OWN, STALLED_DIAL, THIRD, after, ms, peer, seen, verdict, watching};
use crate::ledger::{About, Ledger, Standing, WITNESSES_MAX};
use crate::sighting::{NetnsCookie, Observation, Sighting};

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

/// A sighting from a network namespace that a user namespace owns.
fn owned(at: u64, netns: NetnsCookie, what: Observation) -> Sighting {
    Sighting {
        in_user_ns: true,
        ..seen(at, netns, at, what)
    }
}

#[test]
fn what_is_seen_where_a_user_namespace_rules_is_known_there_alone() {
    use Observation as O;
    for what in [
        O::Refused,
        O::Unreachable,
        O::SynTimeout,
        O::SynRetransmit,
        STALLED_DIAL,
    ] {
        let ledger = after(&[owned(10, ELSEWHERE, what), owned(20, THIRD, what)]);
        assert_eq!(ledger.verdict(peer(), Some(OWN), ms(21)), Standing::UNKNOWN, "{what:?}");
        assert_eq!(ledger.verdict(peer(), None, ms(21)), Standing::UNKNOWN, "{what:?}");
        assert_ne!(verdict(&ledger, THIRD, 21).0, Verdict::Unknown, "{what:?}");
    }
}

#[test]
fn nobody_is_acquitted_where_a_user_namespace_rules_but_for_those_in_it() {
    let refused = [
        seen(10, OWN, 1, Observation::Refused),
        seen(20, THIRD, 2, Observation::Refused),
    ];
    let mut ledger = after(&refused);
    assert_eq!(verdict(&ledger, ELSEWHERE, 21).0, Verdict::Dead);
    ledger.observe(ms(30), &owned(30, ELSEWHERE, HANDSHAKE));
    assert_eq!(verdict(&ledger, OWN, 31).0, Verdict::Dead);
    assert_eq!(verdict(&ledger, ELSEWHERE, 31).0, Verdict::Alive);
    // What the node sees after that counts there, too.
    ledger.observe(ms(40), &seen(40, OWN, 4, HANDSHAKE));
    ledger.observe(ms(50), &seen(50, OWN, 5, Observation::Refused));
    ledger.observe(ms(60), &seen(60, THIRD, 6, Observation::Refused));
    assert_eq!(verdict(&ledger, ELSEWHERE, 61).0, Verdict::Dead);
}

#[test]
fn a_fault_of_such_a_namespace_itself_is_void_there() {
    let mut ledger = after(&[owned(10, OWN, Observation::SynRetransmit)]);
    assert_eq!(verdict(&ledger, OWN, 11).0, Verdict::Dead);
    ledger.void_silence(peer().ip(), OWN);
    assert_eq!(verdict(&ledger, OWN, 12).0, Verdict::Unknown);
}

#[test]
fn many_such_namespaces_keep_nobody_from_being_heard() {
    let many = u64::try_from(WITNESSES_MAX).unwrap() + 10;
    let script: Vec<_> = (0..many)
        .map(|number| owned(10, NetnsCookie(1_000 + number), Observation::Refused))
        .collect();
    let mut ledger = after(&script);
    assert!(ledger.facts() <= 3 * WITNESSES_MAX + 10, "{}", ledger.facts());
    ledger.observe(ms(20), &seen(20, OWN, 1, Observation::Refused));
    assert_eq!(verdict(&ledger, OWN, 21).0, Verdict::Dead);
    assert_eq!(verdict(&ledger, ELSEWHERE, 21).0, Verdict::Suspect);
}
