//! Dials that fail, or take their time.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use obit_monitor::sighting::Observation;

use crate::place::{HERE, Place};
use crate::watcher::{Watcher, begin_dial, dial, what};

/// A port nobody listens on in a namespace of our own.
const CLOSED: SocketAddr = SocketAddr::new(HERE, 4_040);

/// What is seen before the next unreachable dial.
fn until_unreachable(watcher: &Watcher) -> Vec<Observation> {
    std::iter::repeat_with(|| watcher.next().what)
        .take_while(|what| *what != Observation::Unreachable)
        .collect()
}

#[test]
fn a_refused_dial_is_seen_with_its_socket_peer_and_namespace() {
    let place = Place::new();
    let watcher = Watcher::new(&place, &[HERE]);
    let error = place.run(|| dial(CLOSED)).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ECONNREFUSED));
    let seen = watcher.all(&place);
    assert_eq!(what(&seen), [Observation::SynStart, Observation::Refused]);
    assert_eq!(seen[0].socket, seen[1].socket);
    assert!(
        seen.iter()
            .all(|sighting| sighting.peer == CLOSED && sighting.netns == place.cookie())
    );
    assert!(seen[0].at <= seen[1].at);
}

#[test]
fn the_socket_of_a_sighting_is_the_one_the_application_knows() {
    let place = Place::new();
    let watcher = Watcher::new(&place, &[HERE]);
    place.rule("tcp dport 4040 drop");
    let socket = place.run(|| begin_dial(CLOSED, |_| {}));
    assert_eq!(watcher.next().socket.0, socket.cookie().unwrap());
}

#[test]
fn a_dial_refused_by_icmp_while_connect_holds_the_socket_is_refused() {
    let place = Place::new();
    let watcher = Watcher::new(&place, &[HERE]);
    place.rule("tcp dport 4040 reject with icmp port-unreachable");
    let error = place.run(|| dial(CLOSED)).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ECONNREFUSED));
    assert_eq!(
        what(&watcher.all(&place))[..2],
        [Observation::SynStart, Observation::Refused]
    );
}

#[test]
fn a_dial_told_by_icmp_that_there_is_no_way_is_unreachable_at_once() {
    let place = Place::new();
    let watcher = Watcher::new(&place, &[HERE]);
    place.rule("tcp dport 4040 reject with icmp host-unreachable");
    let error = place.run(|| dial(CLOSED)).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EHOSTUNREACH));
    let seen = watcher.all(&place);
    assert_eq!(what(&seen)[..2], [Observation::SynStart, Observation::Unreachable]);
    assert!(seen[1].at.since(seen[0].at) < Duration::from_millis(200));
}

#[test]
fn a_waiting_dial_told_by_icmp_that_there_is_no_way_is_unreachable_once() {
    let place = Place::new();
    let watcher = Watcher::new(&place, &[HERE]);
    place.rule("tcp dport 4040 drop");
    let socket = place.run(|| begin_dial(CLOSED, |_| {}));
    assert_eq!(watcher.next().what, Observation::SynStart);
    // The SYN sent again after a second meets this one.
    place.rule("tcp dport 4040 reject with icmp host-unreachable");
    let mut seen = vec![watcher.next().what, watcher.next().what];
    seen.sort_by_key(|what| *what == Observation::Unreachable);
    assert_eq!(seen, [Observation::SynRetransmit, Observation::Unreachable]);
    drop(socket);
    assert_eq!(what(&watcher.all(&place)), []);
}

#[test]
fn an_ipv6_dial_is_seen_like_any_other() {
    let here = IpAddr::V6(Ipv6Addr::LOCALHOST);
    let to = SocketAddr::new(here, 4_040);
    let place = Place::new();
    let watcher = Watcher::new(&place, &[here]);
    place.run(move || dial(to)).unwrap_err();
    let seen = watcher.all(&place);
    assert_eq!(what(&seen), [Observation::SynStart, Observation::Refused]);
    assert!(seen.iter().all(|sighting| sighting.peer == to));
    // On one host the ICMP message comes while `connect` holds the socket, where IPv6 (unlike IPv4) does not even tell the
    // application; the one for the SYN sent again ends the dial.
    place.rule("tcp dport 4040 reject with icmpv6 no-route");
    let error = place.run(move || dial(to)).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ENETUNREACH));
    assert_eq!(
        until_unreachable(&watcher),
        [Observation::SynStart, Observation::SynRetransmit]
    );
}

#[test]
fn an_ipv4_peer_dialled_through_an_ipv6_socket_is_the_same_peer() {
    let place = Place::new();
    let watcher = Watcher::new(&place, &[HERE]);
    let mapped = SocketAddr::new(Ipv4Addr::LOCALHOST.to_ipv6_mapped().into(), 4_040);
    place.run(move || dial(mapped)).unwrap_err();
    let seen = watcher.all(&place);
    assert_eq!(what(&seen), [Observation::SynStart, Observation::Refused]);
    assert!(seen.iter().all(|sighting| sighting.peer == CLOSED));
}

#[test]
fn an_unanswered_syn_is_seen_when_it_leaves_and_when_it_leaves_again() {
    let place = Place::new();
    let watcher = Watcher::new(&place, &[HERE]);
    place.rule("tcp dport 4040 drop");
    let socket = place.run(|| begin_dial(CLOSED, |_| {}));
    let (start, again) = (watcher.next(), watcher.next());
    assert_eq!(
        (start.what, again.what),
        (Observation::SynStart, Observation::SynRetransmit)
    );
    assert_eq!((start.socket, start.peer), (again.socket, again.peer));
    let waited = again.at.since(start.at);
    assert!(
        (Duration::from_millis(900)..Duration::from_millis(1_500)).contains(&waited),
        "{waited:?}"
    );
    drop(socket);
    assert_eq!(what(&watcher.all(&place)), [Observation::Abandoned]);
}

#[test]
fn a_dial_the_kernel_gives_up_on_has_timed_out() {
    let place = Place::new();
    let watcher = Watcher::new(&place, &[HERE]);
    place.rule("tcp dport 4040 drop");
    let patience = Some(Duration::from_millis(300));
    let socket = place.run(move || begin_dial(CLOSED, |socket| socket.set_tcp_user_timeout(patience).unwrap()));
    assert_eq!(watcher.next().what, Observation::SynStart);
    // The timer looks at the application's patience only when it runs out itself, after the first second.
    let mut seen = vec![watcher.next().what];
    while seen.last() != Some(&Observation::SynTimeout) {
        seen.push(watcher.next().what);
    }
    assert!(
        seen[..seen.len() - 1]
            .iter()
            .all(|what| *what == Observation::SynRetransmit),
        "{seen:?}"
    );
    assert_eq!(
        socket.take_error().unwrap().unwrap().raw_os_error(),
        Some(libc::ETIMEDOUT)
    );
}
