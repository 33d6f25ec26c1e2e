//! The guard over the process's own sockets: plain blocking sockets of the standard library, which know nothing of it.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use obit::connection::{DialOptions, dial};
use obit::{Feed, ProcessGuard};
use obit_protocol::{Reason, Verdict};
use socket2::SockRef;
use support::guarded::{OFTEN, connect, eventually, guard, is_alive, is_ended, joined, listen, reading};
use support::{Blackhole, LiveMonitor, dials_in_progress, monotonic_ns, verdict};

const NEVER: Duration = Duration::from_secs(3_600);

/// Says a death of a connection until it is ended: proof that the guard knows the connection.
async fn guarded(monitor: &LiveMonitor, guard: &ProcessGuard, near: &TcpStream) {
    let (peer, cookie) = (near.peer_addr().unwrap(), SockRef::from(near).cookie().unwrap());
    let before = guard.ended();
    eventually("the end of one connection", || {
        monitor.say_of_connection(peer, cookie, Verdict::Dead, Reason::Stalled);
        guard.ended() > before
    })
    .await;
    // An end is counted just before it is done.
    eventually("the end of that one", || near.peer_addr().is_err()).await;
}

/// Tells of a peer, and waits until the look that follows is over: the next is at a death.
async fn looked(monitor: &LiveMonitor, guard: &ProcessGuard, listener: &TcpListener) {
    guard.watch(listener.local_addr().unwrap());
    let (witness, _far) = connect(listener);
    guarded(monitor, guard, &witness).await;
}

#[tokio::test]
async fn a_thread_that_reads_from_a_dead_peer_is_woken_and_others_read_on() {
    let monitor = LiveMonitor::start();
    let guard = guard(&monitor, OFTEN);
    let ((dying, dead), (living, other)) = (listen("127.0.0.1:0"), listen("127.0.0.1:0"));
    let ((near, mut far), (beside, beside_far)) = (connect(&dying), connect(&living));
    let read = reading(&near);
    monitor.watching(dead).await;
    monitor.watching(other).await;
    monitor.say(dead, Verdict::Dead, Reason::Unreachable);
    assert!(is_ended(joined(read).await));
    assert_eq!(guard.ended(), 1);
    // The kernel tells the other end at once and retransmits nothing.
    assert_eq!(far.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert!(is_alive(&beside, &beside_far));
}

#[tokio::test]
async fn a_connection_no_look_has_found_yet_is_found_when_its_peer_dies() {
    let monitor = LiveMonitor::start();
    let guard = guard(&monitor, NEVER);
    let (listener, peer) = listen("127.0.0.1:0");
    looked(&monitor, &guard, &listener).await;
    let (near, _far) = connect(&listener);
    let read = reading(&near);
    // Its age shows when it is older than the kernel's coarsest tick.
    tokio::time::sleep(Duration::from_millis(50)).await;
    monitor.say(peer, Verdict::Dead, Reason::Stalled);
    assert!(is_ended(joined(read).await));
}

#[tokio::test]
async fn a_connection_to_a_peer_that_was_told_is_looked_for_at_once() {
    let monitor = LiveMonitor::start();
    let guard = guard(&monitor, NEVER);
    let (listener, _) = listen("127.0.0.1:0");
    // The first is perhaps found by the guard's very first look.
    looked(&monitor, &guard, &listener).await;
    looked(&monitor, &guard, &listener).await;
}

#[tokio::test]
async fn a_connection_made_after_the_death_is_left_alone() {
    let monitor = LiveMonitor::start();
    let guard = guard(&monitor, OFTEN);
    let (listener, peer) = listen("127.0.0.1:0");
    let (before, _far) = connect(&listener);
    monitor.watching(peer).await;
    monitor.say(peer, Verdict::Dead, Reason::Unreachable);
    assert!(is_ended(joined(reading(&before)).await));
    let (near, far) = connect(&listener);
    // The death is told once more: of the same moment, and to one who asks anew.
    guard.watch(peer);
    assert!(is_alive(&near, &far));
    guarded(&monitor, &guard, &near).await;
    assert_eq!(guard.ended(), 2);
}

#[tokio::test]
async fn an_old_death_told_late_does_not_touch_what_was_born_since() {
    let monitor = LiveMonitor::start();
    let guard = guard(&monitor, NEVER);
    let ((listener, peer), (marker, marked)) = (listen("127.0.0.1:0"), listen("127.0.0.1:0"));
    looked(&monitor, &guard, &listener).await;
    looked(&monitor, &guard, &marker).await;
    let then = monotonic_ns();
    let (near, far) = connect(&listener);
    let (witness, _far) = connect(&marker);
    tokio::time::sleep(Duration::from_millis(50)).await;
    monitor.say_notice(verdict(peer, Verdict::Dead, Reason::Unreachable, then));
    // Of the same look as the one this death asks for.
    monitor.say(marked, Verdict::Dead, Reason::Unreachable);
    assert!(is_ended(joined(reading(&witness)).await));
    looked(&monitor, &guard, &marker).await;
    assert!(is_alive(&near, &far));
    assert_eq!(guard.ended(), 4);
}

#[tokio::test]
async fn a_refused_dial_ends_dials_and_no_connection() {
    let monitor = LiveMonitor::start();
    let guard = guard(&monitor, OFTEN);
    let (listener, peer) = listen("127.0.0.1:0");
    let (near, far) = connect(&listener);
    let hole = Blackhole::open().await;
    let address = hole.address();
    monitor.watching(peer).await;
    monitor.say(peer, Verdict::Dead, Reason::Refused);
    end_dial(&monitor, address, Reason::Refused).await;
    assert!(is_alive(&near, &far));
    guarded(&monitor, &guard, &near).await;
}

/// Dials in a thread, and says a death until the dial has ended: what comes before its first SYN is not about it.
async fn end_dial(monitor: &LiveMonitor, address: SocketAddr, reason: Reason) {
    monitor.watching(address).await;
    let dialling = std::thread::spawn(move || TcpStream::connect(address).map(|_| 0));
    eventually("the end of the dial", || {
        monitor.say(address, Verdict::Dead, reason);
        dialling.is_finished()
    })
    .await;
    assert!(is_ended(joined(dialling).await));
}

#[tokio::test]
async fn a_dial_nobody_answers_is_ended() {
    let monitor = LiveMonitor::start();
    let guard = guard(&monitor, NEVER);
    let hole = Blackhole::open().await;
    let address = hole.address();
    guard.watch(address);
    end_dial(&monitor, address, Reason::SynStalled).await;
}

#[tokio::test]
async fn a_dial_that_was_answered_since_it_was_looked_at_is_a_connection() {
    let monitor = LiveMonitor::start();
    let guard = guard(&monitor, NEVER);
    let (listener, _) = listen("127.0.0.1:0");
    let hole = Blackhole::open().await;
    let address = hole.address();
    let dialling = std::thread::spawn(move || TcpStream::connect(address));
    eventually("a SYN", || dials_in_progress(address) > 0).await;
    guard.watch(address);
    looked(&monitor, &guard, &listener).await;
    let _taken = hole.relent();
    let near = joined(dialling).await.unwrap();
    monitor.say(address, Verdict::Dead, Reason::Refused);
    looked(&monitor, &guard, &listener).await;
    assert!(near.peer_addr().is_ok());
    assert_eq!(guard.ended(), 2);
}

#[tokio::test]
async fn word_of_one_connection_ends_that_one() {
    let monitor = LiveMonitor::start();
    let guard = guard(&monitor, OFTEN);
    let (listener, _) = listen("127.0.0.1:0");
    let ((near, _far), (sibling, sibling_far)) = (connect(&listener), connect(&listener));
    guarded(&monitor, &guard, &near).await;
    assert!(is_alive(&sibling, &sibling_far));
    assert_eq!(guard.ended(), 1);
}

#[tokio::test]
async fn what_the_kernel_tells_a_connection_itself_is_left_to_be_read() {
    let monitor = LiveMonitor::start();
    let guard = guard(&monitor, OFTEN);
    let (listener, peer) = listen("127.0.0.1:0");
    let (mut near, mut far) = connect(&listener);
    let (witness, _far) = connect(&listener);
    monitor.watching(peer).await;
    far.write_all(b"the whole response").unwrap();
    drop(far);
    let cookie = SockRef::from(&near).cookie().unwrap();
    monitor.say_of_connection(peer, cookie, Verdict::Dead, Reason::PeerClosed);
    guarded(&monitor, &guard, &witness).await;
    let mut response = String::new();
    near.read_to_string(&mut response).unwrap();
    assert_eq!(response, "the whole response");
}

#[tokio::test]
async fn ipv6_and_mapped_addresses_are_guarded() {
    let monitor = LiveMonitor::start();
    let guard = guard(&monitor, OFTEN);
    let ((six, address6), (four, address4)) = (listen("[::1]:0"), listen("127.0.0.1:0"));
    let (near6, _far6) = connect(&six);
    let mapped = TcpStream::connect(("::ffff:127.0.0.1", address4.port())).unwrap();
    let _far4 = four.accept().unwrap();
    for (peer, near) in [(address6, near6), (address4, mapped)] {
        let read = reading(&near);
        monitor.watching(peer).await;
        monitor.say(peer, Verdict::Dead, Reason::Unreachable);
        assert!(is_ended(joined(read).await));
    }
    assert_eq!(guard.ended(), 2);
}

#[tokio::test]
async fn other_sockets_to_the_same_address_and_clients_of_ours_are_no_business_of_the_guard() {
    let monitor = LiveMonitor::start();
    let guard = guard(&monitor, OFTEN);
    let (listener, peer) = listen("127.0.0.1:0");
    let echo = UdpSocket::bind(peer).unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    udp.connect(peer).unwrap();
    let (mut unix, mut unix_far) = UnixStream::pair().unwrap();
    // This one's address is both a peer and a client.
    let (near, far) = connect(&listener);
    let client = near.local_addr().unwrap();
    let read = reading(&near);
    monitor.watching(peer).await;
    monitor.say(peer, Verdict::Dead, Reason::Unreachable);
    assert!(is_ended(joined(read).await));
    udp.send(b"x").unwrap();
    assert_eq!(echo.recv(&mut [0]).unwrap(), 1);
    unix.write_all(b"x").unwrap();
    assert_eq!(unix_far.read(&mut [0]).unwrap(), 1);
    // The listener goes on listening, and who has dialled it was never asked about.
    let (near, _far) = connect(&listener);
    guarded(&monitor, &guard, &near).await;
    assert!(!monitor.was_asked_about(client));
    assert_eq!(guard.ended(), 2);
    drop(far);
}

#[tokio::test]
async fn what_this_crate_dials_is_left_to_its_own_feed() {
    let monitor = LiveMonitor::start();
    let guard = guard(&monitor, OFTEN);
    let (listener, peer) = listen("127.0.0.1:0");
    let own = dial(&Feed::offline(), peer, &DialOptions::default()).await.unwrap();
    let _own_far = listener.accept().unwrap();
    let (near, _far) = connect(&listener);
    monitor.watching(peer).await;
    monitor.say(peer, Verdict::Dead, Reason::Unreachable);
    assert!(is_ended(joined(reading(&near)).await));
    let (near, _far) = connect(&listener);
    guarded(&monitor, &guard, &near).await;
    assert_eq!(guard.ended(), 2);
    assert_eq!(own.handle().probe().unacknowledged_bytes(), Some(0));
    assert!(
        own.handle()
            .probe()
            .sample()
            .is_some_and(|sample| sample.min_rtt > Duration::ZERO)
    );
}

#[tokio::test]
async fn addresses_are_ordered_by_what_is_known_of_them_and_watched_from_then_on() {
    let monitor = LiveMonitor::start();
    let guard = guard(&monitor, NEVER);
    let peers: [SocketAddr; 4] = [1, 2, 3, 4].map(|last| SocketAddr::from(([198, 18, 7, last], 80)));
    let [dead, suspect, unknown, alive] = peers;
    assert_eq!(guard.dial_order(peers), peers);
    for peer in peers {
        monitor.watching(peer).await;
    }
    monitor.say(dead, Verdict::Dead, Reason::SynTimeout);
    monitor.say(suspect, Verdict::Suspect, Reason::SynStalled);
    monitor.say(alive, Verdict::Alive, Reason::Handshake);
    eventually("the order", || guard.dial_order(peers) == [unknown, alive, suspect]).await;
    assert_eq!(guard.dial_order([dead]), [dead]);
}

#[cfg(feature = "reqwest")]
#[tokio::test]
async fn the_addresses_of_a_name_are_watched_at_the_ports_that_reqwest_is_used_for() {
    use reqwest::dns::Resolve;
    let monitor = LiveMonitor::start();
    let resolver = guard(&monitor, NEVER).resolver([8080, 8443]);
    let addresses: Vec<_> = resolver.resolve("localhost".parse().unwrap()).await.unwrap().collect();
    assert!(!addresses.is_empty());
    for address in addresses {
        assert_eq!(address.port(), 0, "the port is the URL's");
        for port in [8080, 8443] {
            monitor.watching(SocketAddr::new(address.ip(), port)).await;
        }
    }
    let nowhere = resolver.resolve("nowhere.invalid".parse().unwrap()).await;
    assert!(nowhere.is_err());
}

/// Connects, exchanges a byte and closes, again and again, until told to stop; returns how often, or what went wrong.
fn churn(peer: SocketAddr, stop: &AtomicBool) -> Result<usize, String> {
    let mut times = 0;
    while !stop.load(Ordering::Relaxed) {
        let mut stream = TcpStream::connect(peer).map_err(|error| format!("connect: {error}"))?;
        // Ports are not used up by closed connections that linger.
        SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
        for _ in 0..4 {
            stream.write_all(b"x").map_err(|error| format!("write: {error}"))?;
            let read = stream.read(&mut [0]).map_err(|error| format!("read: {error}"))?;
            if read != 1 {
                return Err("an end of file".into());
            }
        }
        times += 1;
    }
    Ok(times)
}

/// Answers every byte with itself.
fn echo(listener: &TcpListener) {
    while let Ok((mut stream, _)) = listener.accept() {
        std::thread::spawn(move || {
            let mut byte = [0];
            while stream.read(&mut byte).is_ok_and(|read| read == 1) && stream.write_all(&byte).is_ok() {}
        });
    }
}

/// Connections die and are closed by their owner at the same moment, while others to the same peer are opened under the same
/// numbers: none of these is ever hit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_descriptor_that_was_closed_and_opened_anew_is_never_hit() {
    const ROUNDS: usize = 2_000;
    const VICTIMS: usize = 4;
    let monitor = LiveMonitor::start();
    let guard = guard(&monitor, Duration::from_millis(1));
    let (listener, peer) = listen("127.0.0.1:0");
    std::thread::spawn(move || echo(&listener));
    let stop = Arc::new(AtomicBool::new(false));
    let churning: Vec<_> = (0..4)
        .map(|_| {
            let stop = stop.clone();
            std::thread::spawn(move || churn(peer, &stop))
        })
        .collect();
    guard.watch(peer);
    monitor.watching(peer).await;
    for _ in 0..ROUNDS {
        let victims: Vec<_> = (0..VICTIMS).map(|_| TcpStream::connect(peer).unwrap()).collect();
        let cookies: Vec<_> = victims
            .iter()
            .map(|near| SockRef::from(near).cookie().unwrap())
            .collect();
        tokio::time::sleep(Duration::from_millis(2)).await;
        let closing = std::thread::spawn(move || {
            for near in victims {
                // An error tells that the guard was faster.
                _ = SockRef::from(&near).set_linger(Some(Duration::ZERO));
                drop(near);
            }
        });
        for cookie in cookies {
            monitor.say_of_connection(peer, cookie, Verdict::Dead, Reason::Stalled);
        }
        joined(closing).await;
    }
    stop.store(true, Ordering::Relaxed);
    for churning in churning {
        let times = joined(churning).await.unwrap();
        assert!(times > 100, "{times} connections were opened beside");
    }
    let ended = usize::try_from(guard.ended()).unwrap();
    println!(
        "{ended} of {} connections were ended before they were closed",
        ROUNDS * VICTIMS
    );
    // The race was run: some were ended, others closed first.
    assert!(ended > 0 && ended < ROUNDS * VICTIMS, "{ended}");
}
