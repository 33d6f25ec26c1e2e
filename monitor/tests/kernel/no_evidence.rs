//! What is no obituary: ends of dials and connections that say nothing of the peer.

use std::io::Read;
use std::net::SocketAddr;
use std::time::Duration;

use obit_monitor::sighting::Observation;
use socket2::{Domain, Protocol, Socket, Type};

use crate::connections::{Connection, connect, seen_of_client};
use crate::place::{HERE, Place};
use crate::watcher::{Watcher, begin_dial, what};

const SILENT: SocketAddr = SocketAddr::new(HERE, 4_040);

fn destroy_sockets_to(place: &Place, peer: SocketAddr) {
    place.command("ss", &["--kill", "--tcp", "dst", &peer.to_string()]);
}

#[test]
fn a_cancelled_dial_only_ends() {
    let place = Place::new();
    let watcher = Watcher::new(&place, &[HERE]);
    place.rule("tcp dport 4040 drop");
    place.run(|| drop(begin_dial(SILENT, |_| {})));
    assert_eq!(what(&watcher.all(&place)), [Observation::SynStart, Observation::Ended]);
}

#[test]
fn a_dial_destroyed_on_this_node_only_ends() {
    let place = Place::new();
    let watcher = Watcher::new(&place, &[HERE]);
    place.rule("tcp dport 4040 drop");
    let socket = place.run(|| begin_dial(SILENT, |_| {}));
    destroy_sockets_to(&place, SILENT);
    let error = socket.take_error().unwrap().expect("it was destroyed");
    assert_eq!(error.raw_os_error(), Some(libc::ECONNABORTED));
    assert_eq!(what(&watcher.all(&place)), [Observation::SynStart, Observation::Ended]);
}

/// What has been seen of a connection is that it was made, and that it ended.
fn only_ended(watcher: &Watcher, place: &Place, cookie: u64) {
    let seen = seen_of_client(watcher, place, cookie);
    assert!(
        matches!(
            seen[..],
            [Observation::SynStart, Observation::Handshake { .. }, Observation::Ended]
        ),
        "{seen:?}"
    );
}

#[test]
fn a_connection_destroyed_on_this_node_only_ends() {
    let place = Place::new();
    let watcher = Watcher::new(&place, &[HERE]);
    let Connection {
        mut client,
        server,
        peer,
    } = connect(&place);
    let cookie = client.cookie().unwrap();
    destroy_sockets_to(&place, peer);
    assert_eq!(
        client.read(&mut [0]).unwrap_err().raw_os_error(),
        Some(libc::ECONNABORTED)
    );
    drop(server);
    only_ended(&watcher, &place, cookie);
}

#[test]
fn a_connection_that_waits_out_its_time_after_the_end_ends_once() {
    let place = Place::new();
    let watcher = Watcher::new(&place, &[HERE]);
    let Connection {
        client,
        mut server,
        peer,
    } = connect(&place);
    let cookie = client.cookie().unwrap();
    drop(client);
    assert_eq!(server.read(&mut [0]).unwrap(), 0);
    drop(server);
    // Now in TIME_WAIT; destroying it there is its last transition.
    destroy_sockets_to(&place, peer);
    only_ended(&watcher, &place, cookie);
}

#[test]
fn a_simultaneous_open_only_ends() {
    let place = Place::new();
    let watcher = Watcher::new(&place, &[HERE]);
    place.run(|| {
        // A socket that dials itself: both ends open at once.
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SILENT.into()).unwrap();
        socket.connect(&SILENT.into()).unwrap();
    });
    assert_eq!(
        what(&watcher.all(&place)),
        [Observation::SynStart, Observation::Ended, Observation::Ended]
    );
}

#[test]
fn the_paths_of_a_multipath_connection_say_nothing() {
    let place = Place::new();
    let watcher = Watcher::new(&place, &[HERE]);
    let multipath = || {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::MPTCP));
        socket.expect("this kernel has no MPTCP (CONFIG_MPTCP): it cannot be tested here")
    };
    place.run(move || {
        // Refused.
        multipath().connect(&SILENT.into()).unwrap_err();
        // Reset by the peer.
        let listener = multipath();
        listener.bind(&SocketAddr::new(HERE, 4_041).into()).unwrap();
        listener.listen(1).unwrap();
        let mut client = multipath();
        client.connect(&SocketAddr::new(HERE, 4_041).into()).unwrap();
        let server = listener.accept().unwrap().0;
        server.set_linger(Some(Duration::ZERO)).unwrap();
        drop(server);
        client.read(&mut [0]).unwrap_err();
    });
    // Given up.
    place.rule("tcp dport 4040 drop");
    let patience = Some(Duration::from_millis(1_200));
    place.run(move || {
        let socket = multipath();
        socket.set_write_timeout(patience).unwrap();
        socket.connect(&SILENT.into()).unwrap_err();
    });
    assert_eq!(watcher.all(&place), []);
}
