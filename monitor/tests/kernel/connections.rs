//! Connections: made, ended by either side, and cut off.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use obit_monitor::sighting::Observation;
use socket2::Socket;

use crate::place::{HERE, Place};
use crate::watcher::{Watcher, dial, what};

/// A watched connection: the client's end, the server's end. The server's own end is at a watched address too, so its
/// events are told apart by the socket.
pub(crate) struct Connection {
    pub(crate) client: Socket,
    pub(crate) server: Socket,
    pub(crate) peer: SocketAddr,
}

/// Makes one in the place.
pub(crate) fn connect(place: &Place) -> Connection {
    place.run(|| {
        let listener = TcpListener::bind((HERE, 0)).unwrap();
        let peer = listener.local_addr().unwrap();
        let client = dial(peer).unwrap();
        let server = Socket::from(listener.accept().unwrap().0);
        Connection { client, server, peer }
    })
}

/// What is seen of the client's end from now on, and of nothing else.
pub(crate) fn seen_of_client(watcher: &Watcher, place: &Place, cookie: u64) -> Vec<Observation> {
    let seen = watcher.all(place);
    let of_client: Vec<_> = seen
        .into_iter()
        .filter(|sighting| sighting.socket.0 == cookie)
        .collect();
    what(&of_client)
}

/// The next thing seen of a socket.
fn next_of(watcher: &Watcher, cookie: u64) -> obit_monitor::sighting::Sighting {
    loop {
        let sighting = watcher.next();
        if sighting.socket.0 == cookie {
            return sighting;
        }
    }
}

#[test]
fn an_answered_dial_is_a_handshake_with_its_round_trip_time() {
    let place = Place::new();
    let watcher = Watcher::new(&place, &[HERE]);
    let connection = connect(&place);
    let cookie = connection.client.cookie().unwrap();
    assert_eq!(next_of(&watcher, cookie).what, Observation::SynStart);
    let answered = next_of(&watcher, cookie);
    let Observation::Handshake { rtt } = answered.what else {
        panic!("{answered:?}")
    };
    assert!(rtt > Duration::ZERO && rtt < Duration::from_millis(100), "{rtt:?}");
    assert_eq!(answered.peer, connection.peer);
}

#[test]
fn a_connection_reset_by_the_peer_is_a_reset() {
    let place = Place::new();
    let watcher = Watcher::new(&place, &[HERE]);
    let Connection { mut client, server, .. } = connect(&place);
    let cookie = client.cookie().unwrap();
    assert_eq!(seen_of_client(&watcher, &place, cookie).len(), 2);
    server.set_linger(Some(Duration::ZERO)).unwrap();
    drop(server);
    assert_eq!(
        client.read(&mut [0]).unwrap_err().raw_os_error(),
        Some(libc::ECONNRESET)
    );
    drop(client);
    assert_eq!(seen_of_client(&watcher, &place, cookie), [Observation::Reset]);
}

#[test]
fn a_connection_closed_by_the_peer_is_told_once() {
    let place = Place::new();
    let watcher = Watcher::new(&place, &[HERE]);
    let Connection { mut client, server, .. } = connect(&place);
    let cookie = client.cookie().unwrap();
    assert_eq!(seen_of_client(&watcher, &place, cookie).len(), 2);
    drop(server);
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
    drop(client);
    assert_eq!(seen_of_client(&watcher, &place, cookie), [Observation::PeerClosed]);
}

#[test]
fn a_reset_after_the_peers_fin_is_a_reset() {
    let place = Place::new();
    let watcher = Watcher::new(&place, &[HERE]);
    let Connection { mut client, server, .. } = connect(&place);
    let cookie = client.cookie().unwrap();
    assert_eq!(seen_of_client(&watcher, &place, cookie).len(), 2);
    drop(server);
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
    // Nobody is there to take it: the peer's kernel answers with a reset.
    client.write_all(b"x").unwrap();
    assert_eq!(
        seen_of_client(&watcher, &place, cookie),
        [Observation::PeerClosed, Observation::Reset]
    );
}

#[test]
fn a_connection_closed_here_ends_once() {
    let place = Place::new();
    let watcher = Watcher::new(&place, &[HERE]);
    let Connection { client, server, .. } = connect(&place);
    let cookie = client.cookie().unwrap();
    drop(client);
    drop(server);
    let seen = seen_of_client(&watcher, &place, cookie);
    assert_eq!(seen.len(), 3, "{seen:?}");
    assert_eq!(seen[2], Observation::Ended);
}

#[test]
fn a_connection_cut_off_with_data_under_way_stalls_and_one_idle_does_not() {
    let place = Place::new();
    let watcher = Watcher::new(&place, &[HERE]);
    let mut busy = connect(&place);
    let idle = connect(&place);
    let (busy_cookie, idle_cookie) = (busy.client.cookie().unwrap(), idle.client.cookie().unwrap());
    let before = what(&watcher.all(&place)).len();
    assert_eq!(before, 4);
    place.rule("meta l4proto tcp drop");
    busy.client.write_all(b"x").unwrap();
    let written = obit_monitor::clock::monotonic();
    let stalled = watcher.next();
    assert_eq!(
        (stalled.what, stalled.socket.0, stalled.peer),
        (Observation::Stalled, busy_cookie, busy.peer)
    );
    let waited = stalled.at.since(written);
    assert!(
        (Duration::from_millis(100)..Duration::from_secs(2)).contains(&waited),
        "{waited:?}"
    );
    assert_ne!(busy_cookie, idle_cookie);
}

#[test]
fn a_connection_told_by_icmp_that_there_is_no_way_lives_on_and_is_seen_to_be_told() {
    let place = Place::new();
    let watcher = Watcher::new(&place, &[HERE]);
    let mut connection = connect(&place);
    let cookie = connection.client.cookie().unwrap();
    assert_eq!(seen_of_client(&watcher, &place, cookie).len(), 2);
    place.rule("meta l4proto tcp reject with icmp host-unreachable");
    connection.client.write_all(b"x").unwrap();
    let told = next_of(&watcher, cookie);
    assert_eq!((told.what, told.peer), (Observation::SoftError, connection.peer));
    place.rule("meta l4proto tcp accept");
    assert_eq!(connection.server.read(&mut [0]).unwrap(), 1);
}

#[test]
fn a_single_retransmit_is_no_stall() {
    let place = Place::new();
    let watcher = Watcher::new(&place, &[HERE]);
    let mut connection = connect(&place);
    let cookie = connection.client.cookie().unwrap();
    assert_eq!(seen_of_client(&watcher, &place, cookie).len(), 2);
    // Cut off for the first segment alone; what is sent again gets through.
    place.rule("meta l4proto tcp limit rate 1/hour burst 1 packets drop");
    connection.client.write_all(b"x").unwrap();
    connection
        .server
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    assert_eq!(connection.server.read(&mut [0]).unwrap(), 1);
    place.rule("meta l4proto tcp accept");
    assert_eq!(seen_of_client(&watcher, &place, cookie), []);
}

#[test]
fn a_connection_the_kernel_gives_up_on_has_timed_out() {
    let place = Place::new();
    let watcher = Watcher::new(&place, &[HERE]);
    let mut connection = connect(&place);
    let cookie = connection.client.cookie().unwrap();
    assert_eq!(seen_of_client(&watcher, &place, cookie).len(), 2);
    connection
        .client
        .set_tcp_user_timeout(Some(Duration::from_millis(300)))
        .unwrap();
    place.rule("meta l4proto tcp drop");
    connection.client.write_all(b"x").unwrap();
    let mut seen = Vec::new();
    while seen.last() != Some(&Observation::TimedOut) {
        seen.push(next_of(&watcher, cookie).what);
    }
    assert!(
        seen.len() <= 2 && seen[..seen.len() - 1].iter().all(|what| *what == Observation::Stalled),
        "{seen:?}"
    );
}
