//! Where something was seen, and what kind of address it was about.

use std::net::SocketAddr;

use obit_protocol::Verdict;

use super::{ELSEWHERE, HANDSHAKE, OWN, STALLED_DIAL, THIRD, after, ms, peer, seen, verdict, watching};
use crate::ledger::{About, Ledger, Standing};
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
