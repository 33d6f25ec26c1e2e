//! Connections: what their ends say of the peer, and what is told of each.

use obit_protocol::{Reason, Verdict};

use super::{HANDSHAKE, OWN, STALLED_DIAL, after, ms, peer, seen, verdict};
use crate::sighting::{Observation, Sighting};

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
    assert_eq!(news(205, 4, O::Stalled), [(4, Verdict::Suspect, Reason::Stalled)]);
    assert_eq!(news(206, 4, O::Stalled), []);
    let both = [(4, Verdict::Dead, Reason::Stalled), (5, Verdict::Dead, Reason::Stalled)];
    assert_eq!(news(207, 5, O::Stalled), both);
    assert_eq!(news(208, 6, O::Stalled), [(6, Verdict::Dead, Reason::Stalled)]);
    assert_eq!(news(209, 7, O::SoftError), [(7, Verdict::Suspect, Reason::Unreachable)]);
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
        assert_eq!(news(300, 7, what), [], "{what:?}");
    }
}

#[test]
fn a_connection_given_up_says_nothing_of_who_answered_since_unless_silence_was_met_again() {
    let stalled = |at, socket| seen(at, OWN, socket, Observation::Stalled);
    let given_up = |at, socket| seen(at, OWN, socket, Observation::TimedOut);
    let answered = |at, socket| seen(at, OWN, socket, HANDSHAKE);
    let run = |script: &[Sighting]| verdict(&after(script), OWN, 16_000).0;

    assert_eq!(run(&[given_up(15_000, 1)]), Verdict::Suspect);
    assert_eq!(
        run(&[answered(10, 1), stalled(1_000, 1), given_up(15_000, 1)]),
        Verdict::Suspect
    );
    // The address was given to another pod.
    let reused = [
        answered(10, 1),
        stalled(1_000, 1),
        answered(9_000, 2),
        given_up(15_000, 1),
    ];
    assert_eq!(run(&reused), Verdict::Alive);
    let silent_again = [&reused[..3], &[stalled(14_000, 2), given_up(15_000, 1)]].concat();
    assert_eq!(run(&silent_again), Verdict::Suspect);
    // The connection itself is gone all the same.
    let change = after(&reused[..3]).observe(ms(15_000), &reused[3]);
    assert_eq!(change.connections.len(), 1);
}

#[test]
fn data_sent_before_the_last_answer_does_not_count_against_the_address() {
    let stalled = |at| seen(at, OWN, 1, Observation::Stalled);
    let run = |at| verdict(&after(&[seen(1_000, OWN, 2, HANDSHAKE), stalled(at)]), OWN, 1_500).0;
    assert_eq!(run(1_200), Verdict::Alive);
    assert_eq!(run(1_201), Verdict::Suspect);
}
