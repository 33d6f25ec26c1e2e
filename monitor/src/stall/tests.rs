use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use proptest::prelude::*;

use super::{Bounds, Thresholds, WaitingRoom};
use crate::sighting::{MonotonicNs, NetnsCookie, Observation, Sighting, SocketCookie};

const MS: Duration = Duration::from_millis(1);

fn ms(n: u64) -> MonotonicNs {
    MonotonicNs(n * 1_000_000)
}

fn sighting(at: u64, socket: u64, what: Observation) -> Sighting {
    Sighting {
        in_user_ns: false,
        at: ms(at),
        netns: NetnsCookie(1),
        socket: SocketCookie(socket),
        peer: "198.18.0.2:8080".parse().unwrap(),
        what,
    }
}

fn expired(room: &mut WaitingRoom, now: u64) -> Vec<Sighting> {
    let mut stalled = vec![];
    room.expire(ms(now), &mut stalled);
    stalled
}

#[test]
fn an_unanswered_dial_stalls_once_its_threshold_has_run_out_and_only_once() {
    let mut room = WaitingRoom::new(Bounds::default());
    room.observe(&sighting(100, 7, Observation::SynStart));
    assert_eq!(room.next_deadline(), Some(ms(150)));
    assert_eq!(expired(&mut room, 149), []);
    assert_eq!(
        expired(&mut room, 152),
        [sighting(150, 7, Observation::SynStalled { waited: 50 * MS })]
    );
    assert_eq!(expired(&mut room, 100_000), []);
    assert_eq!(room.next_deadline(), None);
}

#[test]
fn a_dial_that_ends_after_it_stalled_was_abandoned_and_only_then() {
    let mut room = WaitingRoom::new(Bounds::default());
    let ended = |socket| sighting(400, socket, Observation::Ended);
    for socket in [7, 8] {
        room.observe(&sighting(100, socket, Observation::SynStart));
    }
    assert_eq!(room.in_context(ended(7)).what, Observation::Ended);
    room.observe(&sighting(120, 8, Observation::Handshake { rtt: MS }));
    expired(&mut room, 152);
    assert_eq!(room.in_context(ended(7)).what, Observation::Abandoned);
    assert_eq!(room.in_context(ended(8)).what, Observation::Ended);
    room.observe(&room.in_context(ended(7)));
    assert_eq!(room.in_context(ended(7)).what, Observation::Ended);
}

#[test]
fn whatever_answers_or_ends_a_dial_stops_its_timer() {
    for what in [
        Observation::Handshake { rtt: MS },
        Observation::Refused,
        Observation::Unreachable,
        Observation::Ended,
    ] {
        let mut room = WaitingRoom::new(Bounds::default());
        room.observe(&sighting(100, 7, Observation::SynStart));
        room.observe(&sighting(101, 7, what));
        assert!(room.is_empty() && room.next_deadline().is_none(), "{what:?}");
    }
}

#[test]
fn a_retransmitted_syn_does_not_stop_the_timer() {
    let mut room = WaitingRoom::new(Bounds::default());
    room.observe(&sighting(100, 7, Observation::SynStart));
    room.observe(&sighting(140, 7, Observation::SynRetransmit));
    assert_eq!(expired(&mut room, 150).len(), 1);
}

#[test]
fn dials_stall_in_the_order_of_their_deadlines() {
    let mut room = WaitingRoom::new(Bounds::default());
    for (at, socket) in [(30, 1), (10, 2), (20, 3)] {
        room.observe(&sighting(at, socket, Observation::SynStart));
    }
    let order: Vec<_> = expired(&mut room, 1_000).iter().map(|s| s.socket.0).collect();
    assert_eq!(order, [2, 3, 1]);
}

#[test]
fn a_full_room_turns_dials_away_and_counts_them() {
    let mut room = WaitingRoom::with_capacity(Bounds::default(), 2);
    for socket in 0..5 {
        room.observe(&sighting(1, socket, Observation::SynStart));
    }
    assert_eq!((room.len(), room.turned_away()), (2, 3));
}

#[test]
fn after_lost_sightings_no_dial_in_progress_stalls() {
    let mut room = WaitingRoom::new(Bounds::default());
    room.observe(&sighting(1, 1, Observation::SynStart));
    room.clear();
    assert_eq!(expired(&mut room, 1_000), []);
}

#[test]
fn the_threshold_is_cold_then_learnt_for_the_subnet_and_for_no_other() {
    let mut thresholds = Thresholds::new(Bounds::default());
    let (near, neighbour, far): (IpAddr, IpAddr, IpAddr) = (
        "198.18.0.2".parse().unwrap(),
        "198.18.0.9".parse().unwrap(),
        "198.18.1.2".parse().unwrap(),
    );
    assert_eq!(thresholds.of(near), 50 * MS);
    thresholds.learn(near, 40 * MS);
    // RFC 6298: the first sample gives srtt = R, rttvar = R/2.
    assert_eq!(thresholds.of(neighbour), 120 * MS);
    assert_eq!(thresholds.of(far), 50 * MS);
    for _ in 0..100 {
        thresholds.learn(near, 40 * MS);
    }
    let learnt = thresholds.of(near);
    assert!(learnt >= 40 * MS && learnt < 41 * MS, "{learnt:?}");
    for _ in 0..100 {
        thresholds.learn(near, MS / 10);
    }
    assert_eq!(thresholds.of(near), 20 * MS);
    thresholds.learn(far, 900 * MS);
    assert_eq!(thresholds.of(far), 250 * MS);
}

#[test]
fn an_ipv6_subnet_is_a_slash_64() {
    let mut thresholds = Thresholds::new(Bounds::default());
    thresholds.learn("fd00:1:2:3::1".parse().unwrap(), 40 * MS);
    assert_eq!(thresholds.of("fd00:1:2:3:ffff::2".parse().unwrap()), 120 * MS);
    assert_eq!(thresholds.of("fd00:1:2:4::1".parse().unwrap()), 50 * MS);
}

#[test]
fn thresholds_of_a_hundred_thousand_subnets_stay_bounded_and_those_in_use_stay_known() {
    let mut thresholds = Thresholds::new(Bounds::default());
    let busy: IpAddr = "198.18.0.2".parse().unwrap();
    for n in 0..100_000u32 {
        thresholds.learn(IpAddr::from((0x0b00_0000 + (n << 8)).to_be_bytes()), 40 * MS);
        if n % 1_000 == 0 {
            thresholds.learn(busy, 40 * MS);
        }
    }
    assert!(thresholds.len() <= 8_192);
    assert_ne!(thresholds.of(busy), 50 * MS);
}

proptest! {
    #[test]
    fn every_dial_is_answered_or_stalls_exactly_once(
        dials in prop::collection::btree_map(0u64..1_000, (0u64..500, prop::option::of(0u64..500)), 0..60)
    ) {
        let mut room = WaitingRoom::new(Bounds { floor: 50 * MS, ceiling: 50 * MS, cold: 50 * MS });
        let peer: SocketAddr = "198.18.0.2:8080".parse().unwrap();
        let mut script: Vec<Sighting> = vec![];
        for (socket, (start, answer)) in &dials {
            script.push(Sighting { peer, ..sighting(*start, *socket, Observation::SynStart) });
            if let Some(after) = answer {
                script.push(sighting(start + after, *socket, Observation::Handshake { rtt: MS }));
            }
        }
        script.sort_by_key(|s| s.at);
        let mut stalled = vec![];
        for step in script {
            room.expire(step.at, &mut stalled);
            room.observe(&step);
        }
        room.expire(ms(10_000), &mut stalled);
        let mut seen: Vec<_> = stalled.iter().map(|s| s.socket.0).collect();
        seen.sort_unstable();
        let late: Vec<_> = dials.iter()
            .filter(|(_, (_, answer))| answer.is_none_or(|after| after >= 50))
            .map(|(socket, _)| *socket)
            .collect();
        prop_assert_eq!(seen, late);
        prop_assert!(room.is_empty());
    }
}
