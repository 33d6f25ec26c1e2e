//! What Kubernetes says of a peer, beside what the kernel sees of it.

use crate::endpoint::{Listed, PodUid};

use super::*;

const ONE: PodUid = PodUid(1);
const OTHER: PodUid = PodUid(2);

fn listed(uid: PodUid) -> Option<Listed> {
    Some(Listed {
        uid,
        terminating: false,
    })
}

fn ending(uid: PodUid) -> Option<Listed> {
    Some(Listed { uid, terminating: true })
}

/// A ledger that was told this of the peer, a second between two words.
fn told(words: &[Option<Listed>]) -> Ledger {
    let mut ledger = watching(&[peer(), neighbour_port()]);
    for (second, word) in (1..).zip(words) {
        ledger.hear(ms(second * 1_000), peer(), *word);
    }
    ledger
}

#[test]
fn a_pod_that_is_well_in_the_api_is_not_known_to_be() {
    let ledger = told(&[listed(ONE)]);
    assert_eq!(ledger.verdict(peer(), Some(OWN), ms(1_001)), Standing::UNKNOWN);
    assert_eq!(ledger.next_deadline(), None);
}

#[test]
fn a_pod_that_is_told_to_end_drains_for_as_long_as_it_takes() {
    let ledger = told(&[listed(ONE), ending(ONE)]);
    for netns in [OWN, ELSEWHERE] {
        assert_eq!(
            verdict(&ledger, netns, 3_600_000),
            (Verdict::Draining, Reason::Terminating)
        );
    }
    assert_eq!(ledger.verdict(peer(), None, ms(3_000)).at, ms(2_000));
    assert_eq!(
        ledger.verdict(neighbour_port(), Some(OWN), ms(3_000)),
        Standing::UNKNOWN
    );
}

#[test]
fn a_pod_that_was_ending_and_is_gone_is_dead_and_of_one_that_was_not_nothing_is_said() {
    let ended = told(&[listed(ONE), ending(ONE), None]);
    assert_eq!(verdict(&ended, OWN, 3_001), (Verdict::Dead, Reason::Deleted));
    let removed = told(&[listed(ONE), None]);
    assert_eq!(removed.verdict(peer(), Some(OWN), ms(2_001)), Standing::UNKNOWN);
    let never = told(&[None]);
    assert_eq!(never.verdict(peer(), Some(OWN), ms(1_001)), Standing::UNKNOWN);
    assert_eq!(never.facts(), watching(&[peer(), neighbour_port()]).facts());
}

#[test]
fn what_is_said_of_a_pod_that_is_gone_expires_as_evidence_does() {
    let mut ledger = told(&[ending(ONE), None]);
    let expires = ms(2_000) + LIFETIME;
    assert_eq!(ledger.next_deadline(), Some(expires));
    let mut changed = Vec::new();
    ledger.expire(expires, &mut changed);
    assert_eq!(changed, [peer().ip()]);
    assert_eq!(ledger.verdict(peer(), Some(OWN), expires), Standing::UNKNOWN);
    assert_eq!(ledger.facts(), watching(&[peer(), neighbour_port()]).facts());
}

#[test]
fn who_answers_after_a_deletion_lives_and_who_answers_before_his_end_still_drains() {
    let mut ledger = told(&[ending(ONE), None]);
    ledger.observe(ms(1_999), &seen(1_999, OWN, 1, HANDSHAKE));
    assert_eq!(verdict(&ledger, OWN, 2_001), (Verdict::Dead, Reason::Deleted));
    ledger.observe(ms(2_002), &seen(2_002, OWN, 2, HANDSHAKE));
    assert_eq!(verdict(&ledger, OWN, 2_003), (Verdict::Alive, Reason::Handshake));
    let mut draining = told(&[ending(ONE)]);
    draining.observe(ms(1_001), &seen(1_001, OWN, 1, HANDSHAKE));
    assert_eq!(verdict(&draining, OWN, 1_002), (Verdict::Draining, Reason::Terminating));
}

#[test]
fn ready_is_no_answer_to_a_refusal() {
    let mut ledger = told(&[listed(ONE)]);
    ledger.observe(ms(1_100), &seen(1_100, OWN, 1, Observation::Refused));
    ledger.hear(ms(1_200), peer(), listed(ONE));
    assert_eq!(verdict(&ledger, OWN, 1_300), (Verdict::Dead, Reason::Refused));
    ledger.hear(ms(1_400), peer(), ending(ONE));
    assert_eq!(verdict(&ledger, OWN, 1_500), (Verdict::Dead, Reason::Refused));
}

#[test]
fn another_pod_is_not_held_what_was_held_against_the_one_before() {
    for evidence in [
        Observation::Refused,
        Observation::Unreachable,
        Observation::SynRetransmit,
    ] {
        for gone in [false, true] {
            let mut ledger = told(&[listed(ONE)]);
            ledger.observe(ms(1_100), &seen(1_100, OWN, 1, evidence));
            assert_eq!(verdict(&ledger, OWN, 1_200).0, Verdict::Dead);
            if gone {
                ledger.hear(ms(1_300), peer(), None);
            }
            assert_eq!(
                ledger.hear(ms(1_400), peer(), listed(OTHER)),
                About::Address(peer().ip())
            );
            assert_eq!(
                ledger.verdict(peer(), Some(OWN), ms(1_500)),
                Standing::UNKNOWN,
                "{evidence:?}"
            );
        }
    }
}

#[test]
fn the_first_word_about_a_peer_voids_nothing() {
    let mut ledger = after(&[seen(10, OWN, 1, Observation::Refused)]);
    ledger.hear(ms(20), peer(), listed(ONE));
    assert_eq!(verdict(&ledger, OWN, 30), (Verdict::Dead, Reason::Refused));
}

#[test]
fn nobody_is_remembered_whom_nobody_watches() {
    let mut ledger = watching(&[neighbour_port()]);
    assert_eq!(ledger.hear(ms(1), peer(), ending(ONE)), About::Nobody);
    let elsewhere = "198.18.0.9:1".parse().unwrap();
    assert_eq!(ledger.hear(ms(1), elsewhere, ending(ONE)), About::Nobody);
    assert_eq!(ledger.facts(), watching(&[neighbour_port()]).facts());
}
