//! The design's table of verdicts, row by row.

use obit_protocol::Verdict::{self, Alive, Dead, Suspect, Unknown};

use super::{ELSEWHERE, HANDSHAKE, OWN, STALLED_DIAL, THIRD, after, peer, seen, verdict};
use crate::sighting::{NetnsCookie, Observation, Sighting};

struct Row {
    evidence: &'static str,
    /// What one namespace sees.
    script: fn(NetnsCookie) -> Vec<Sighting>,
    /// For a subscriber in the namespace that saw it.
    own: Verdict,
    /// For a subscriber elsewhere.
    elsewhere: Verdict,
    /// For a subscriber elsewhere, once a second namespace has seen the same 100 ms later.
    two_agree: Verdict,
    /// For a subscriber in the namespace that saw it, once another namespace has been answered.
    doubted: Verdict,
}

fn one(netns: NetnsCookie, what: Observation) -> Vec<Sighting> {
    vec![seen(2_000, netns, netns.0 * 100, what)]
}

fn opened(netns: NetnsCookie) -> Sighting {
    seen(1, netns, netns.0 * 100, HANDSHAKE)
}

const TABLE: &[Row] = &[
    Row {
        evidence: "Refused",
        script: |netns| one(netns, Observation::Refused),
        own: Dead,
        elsewhere: Suspect,
        two_agree: Dead,
        doubted: Suspect,
    },
    Row {
        evidence: "Unreachable",
        script: |netns| one(netns, Observation::Unreachable),
        own: Dead,
        elsewhere: Suspect,
        two_agree: Dead,
        doubted: Suspect,
    },
    Row {
        evidence: "SynTimeout",
        script: |netns| one(netns, Observation::SynTimeout),
        own: Dead,
        elsewhere: Suspect,
        two_agree: Dead,
        doubted: Suspect,
    },
    Row {
        evidence: "ListenerClosed",
        script: |netns| one(netns, Observation::ListenerClosed),
        own: Dead,
        elsewhere: Dead,
        two_agree: Dead,
        doubted: Alive,
    },
    Row {
        evidence: "ListenerClosed, then ListenerOpened",
        script: |netns| {
            let opened = seen(2_001, netns, 7, Observation::ListenerOpened);
            [one(netns, Observation::ListenerClosed), vec![opened]].concat()
        },
        own: Unknown,
        elsewhere: Unknown,
        two_agree: Unknown,
        doubted: Alive,
    },
    Row {
        evidence: "Refused, then ListenerOpened",
        script: |netns| {
            let opened = seen(2_001, netns, 7, Observation::ListenerOpened);
            [one(netns, Observation::Refused), vec![opened]].concat()
        },
        own: Unknown,
        elsewhere: Unknown,
        two_agree: Unknown,
        doubted: Alive,
    },
    Row {
        evidence: "Abandoned without silence before",
        script: |netns| one(netns, Observation::Abandoned),
        own: Unknown,
        elsewhere: Unknown,
        two_agree: Unknown,
        doubted: Alive,
    },
    Row {
        evidence: "SoftError",
        script: |netns| one(netns, Observation::SoftError),
        own: Suspect,
        elsewhere: Suspect,
        two_agree: Suspect,
        doubted: Suspect,
    },
    Row {
        evidence: "SynStalled once",
        script: |netns| one(netns, STALLED_DIAL),
        own: Suspect,
        elsewhere: Suspect,
        two_agree: Suspect,
        doubted: Suspect,
    },
    Row {
        evidence: "SynStalled twice on one socket",
        script: |netns| {
            let again = seen(2_060, netns, netns.0 * 100, STALLED_DIAL);
            [one(netns, STALLED_DIAL), vec![again]].concat()
        },
        own: Suspect,
        elsewhere: Suspect,
        two_agree: Suspect,
        doubted: Suspect,
    },
    Row {
        evidence: "SynStalled again on a second socket",
        script: |netns| {
            let again = seen(2_060, netns, netns.0 * 100 + 1, STALLED_DIAL);
            [one(netns, STALLED_DIAL), vec![again]].concat()
        },
        own: Dead,
        elsewhere: Suspect,
        two_agree: Suspect,
        doubted: Suspect,
    },
    Row {
        evidence: "SynStalled on three sockets whose dials began within 6 ms",
        script: |netns| {
            let beside = [1, 2].map(|n| seen(2_000 + netns.0 + 3 * n, netns, netns.0 * 100 + n, STALLED_DIAL));
            [one(netns, STALLED_DIAL), beside.to_vec()].concat()
        },
        own: Suspect,
        elsewhere: Suspect,
        two_agree: Suspect,
        doubted: Suspect,
    },
    Row {
        evidence: "SynRetransmit",
        script: |netns| one(netns, Observation::SynRetransmit),
        own: Dead,
        elsewhere: Suspect,
        two_agree: Suspect,
        doubted: Suspect,
    },
    Row {
        evidence: "SynStalled, then a handshake, then SynStalled",
        script: |netns| {
            let answered = seen(2_001, netns, netns.0 * 100 + 1, HANDSHAKE);
            let again = seen(2_060, netns, netns.0 * 100 + 2, STALLED_DIAL);
            [one(netns, STALLED_DIAL), vec![answered, again]].concat()
        },
        own: Suspect,
        elsewhere: Suspect,
        two_agree: Suspect,
        doubted: Suspect,
    },
    Row {
        evidence: "Reset on one of several connections",
        script: |netns| {
            vec![
                opened(netns),
                seen(2, netns, netns.0 * 100 + 1, HANDSHAKE),
                seen(2_000, netns, netns.0 * 100, Observation::Reset),
            ]
        },
        own: Alive,
        elsewhere: Alive,
        two_agree: Alive,
        doubted: Alive,
    },
    Row {
        evidence: "PeerClosed on one of several connections",
        script: |netns| {
            vec![
                opened(netns),
                seen(2, netns, netns.0 * 100 + 1, HANDSHAKE),
                seen(2_000, netns, netns.0 * 100, Observation::PeerClosed),
            ]
        },
        own: Alive,
        elsewhere: Alive,
        two_agree: Alive,
        doubted: Alive,
    },
    Row {
        evidence: "all connections reset or closed within 100 ms",
        script: |netns| {
            let (first, second) = (netns.0 * 100, netns.0 * 100 + 1);
            vec![
                opened(netns),
                seen(2, netns, second, HANDSHAKE),
                seen(2_000, netns, first, Observation::Reset),
                seen(2_099, netns, second, Observation::PeerClosed),
            ]
        },
        own: Suspect,
        elsewhere: Suspect,
        two_agree: Suspect,
        doubted: Alive,
    },
    Row {
        evidence: "Stalled on one connection",
        script: |netns| one(netns, Observation::Stalled),
        own: Suspect,
        elsewhere: Suspect,
        two_agree: Suspect,
        doubted: Suspect,
    },
    Row {
        evidence: "Stalled on two connections",
        script: |netns| {
            let second = seen(2_050, netns, netns.0 * 100 + 1, Observation::Stalled);
            [one(netns, Observation::Stalled), vec![second]].concat()
        },
        own: Suspect,
        elsewhere: Suspect,
        two_agree: Suspect,
        doubted: Suspect,
    },
    Row {
        evidence: "Stalled on one socket and SynStalled on another",
        script: |netns| {
            let dial = seen(2_050, netns, netns.0 * 100 + 1, STALLED_DIAL);
            [one(netns, Observation::Stalled), vec![dial]].concat()
        },
        own: Dead,
        elsewhere: Suspect,
        two_agree: Suspect,
        doubted: Suspect,
    },
    Row {
        evidence: "Stalled, then a handshake, then SynStalled",
        script: |netns| {
            let answered = seen(2_001, netns, netns.0 * 100 + 1, HANDSHAKE);
            let dial = seen(2_060, netns, netns.0 * 100 + 2, STALLED_DIAL);
            [one(netns, Observation::Stalled), vec![answered, dial]].concat()
        },
        own: Suspect,
        elsewhere: Suspect,
        two_agree: Suspect,
        doubted: Suspect,
    },
    Row {
        evidence: "TimedOut: the kernel gave up on a connection",
        script: |netns| one(netns, Observation::TimedOut),
        own: Suspect,
        elsewhere: Suspect,
        two_agree: Suspect,
        doubted: Suspect,
    },
    Row {
        evidence: "Handshake",
        script: |netns| one(netns, HANDSHAKE),
        own: Alive,
        elsewhere: Alive,
        two_agree: Alive,
        doubted: Alive,
    },
];

#[test]
fn every_row_gives_its_verdict_in_its_own_namespace_elsewhere_and_when_two_agree() {
    for row in TABLE {
        let by_own = after(&(row.script)(OWN));
        assert_eq!(verdict(&by_own, OWN, 2_200).0, row.own, "{}: own", row.evidence);

        let by_another = after(&(row.script)(ELSEWHERE));
        assert_eq!(
            verdict(&by_another, OWN, 2_200).0,
            row.elsewhere,
            "{}: elsewhere",
            row.evidence
        );

        let mut by_two = (row.script)(ELSEWHERE);
        by_two.extend((row.script)(THIRD));
        by_two.sort_by_key(|sighting| sighting.at);
        let by_two = after(&by_two);
        assert_eq!(
            verdict(&by_two, OWN, 2_200).0,
            row.two_agree,
            "{}: two agree",
            row.evidence
        );
    }
}

#[test]
fn after_every_row_a_handshake_of_ones_own_means_alive_at_once_and_one_elsewhere_nothing_worse_than_suspect() {
    for row in TABLE {
        let answered = |by, netns| {
            let mut ledger = after(&(row.script)(by));
            let answer = seen(2_200, netns, 999, HANDSHAKE);
            ledger.observe(answer.at, &answer);
            verdict(&ledger, OWN, 2_200).0
        };
        assert_eq!(answered(OWN, OWN), Alive, "{}", row.evidence);
        assert_eq!(answered(ELSEWHERE, ELSEWHERE), Alive, "{}", row.evidence);
        assert_eq!(answered(ELSEWHERE, THIRD), Alive, "{}", row.evidence);
        // What one's own namespace met may be meant for it alone, as a network policy is: a reason to ask again.
        assert_eq!(answered(OWN, ELSEWHERE), row.doubted, "{}", row.evidence);
    }
}

#[test]
fn after_every_row_nothing_is_held_a_minute_later() {
    for row in TABLE {
        let ledger = after(&(row.script)(OWN));
        assert_eq!(verdict(&ledger, OWN, 62_200).0, Unknown, "{}", row.evidence);
        assert_eq!(ledger.verdict(peer(), None, super::ms(62_200)).verdict, Unknown);
    }
}
