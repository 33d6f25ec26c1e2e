//! Dials and connections on real sockets: what ends them, what does not, and what can be seen of them.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use hyper::rt::{Read, ReadBuf, Write};
use obit::connection::{DialError, DialOptions, GuardedTcp, dial};
use obit::{Feed, PeerDead, Reason};
use obit_protocol::{Reason as WireReason, Verdict as WireVerdict};
use support::{Blackhole, LiveMonitor, dials_in_progress, monotonic_ns, verdict};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

async fn connect(feed: &Feed) -> (GuardedTcp, TcpStream, SocketAddr) {
    let (listener, address) = listener().await;
    let connection = dial(feed, address, &DialOptions::default()).await.unwrap();
    (connection, listener.accept().await.unwrap().0, address)
}

async fn read(io: &mut GuardedTcp) -> io::Result<Vec<u8>> {
    let mut bytes = [0; 64];
    std::future::poll_fn(|cx| {
        let mut buf = ReadBuf::new(&mut bytes);
        Pin::new(&mut *io)
            .poll_read(cx, buf.unfilled())
            .map_ok(|()| buf.filled().to_vec())
    })
    .await
}

async fn write(io: &mut GuardedTcp, bytes: &[u8]) -> io::Result<usize> {
    std::future::poll_fn(|cx| Pin::new(&mut *io).poll_write(cx, bytes)).await
}

/// Waits until `condition` holds; there is no event to wait for in what the kernel counts.
async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let patience = tokio::time::timeout(Duration::from_secs(10), async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    patience.await.unwrap_or_else(|_| panic!("in vain: {what}"));
}

#[tokio::test]
async fn a_connection_tells_of_itself() {
    let (connection, accepted, address) = connect(&Feed::offline()).await;
    let handle = connection.handle();
    assert_eq!(handle.peer(), address);
    assert_eq!(handle.local_addr(), accepted.peer_addr().unwrap());
    assert!(handle.socket_cookie().is_some_and(|cookie| cookie != 0));
    assert!(handle.handshake_rtt().is_some_and(|rtt| rtt < Duration::from_secs(1)));
    assert_eq!(handle.closing(), None);
}

#[tokio::test]
async fn bytes_go_both_ways() {
    let (mut connection, mut accepted, _) = connect(&Feed::offline()).await;
    assert_eq!(write(&mut connection, b"ping").await.unwrap(), 4);
    let mut bytes = [0; 4];
    accepted.read_exact(&mut bytes).await.unwrap();
    assert_eq!(&bytes, b"ping");
    accepted.write_all(b"pong").await.unwrap();
    assert_eq!(read(&mut connection).await.unwrap(), b"pong");
}

#[tokio::test]
async fn what_a_peer_said_before_it_reset_the_connection_is_read_whatever_was_written_meanwhile() {
    let (mut connection, mut accepted, _) = connect(&Feed::offline()).await;
    write(&mut connection, b"unread").await.unwrap();
    accepted.readable().await.unwrap();
    accepted.write_all(b"goodbye").await.unwrap();
    // Closing with something unread is a reset.
    drop(accepted);
    for _ in 0..20 {
        assert_eq!(write(&mut connection, b"more").await.unwrap(), 4);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(read(&mut connection).await.unwrap(), b"goodbye");
    // Not an end in good order.
    let error = read(&mut connection).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn the_peers_death_ends_a_parked_read_with_its_obituary_and_the_socket_with_a_reset() {
    let monitor = LiveMonitor::start();
    let feed = monitor.feed();
    let (mut connection, mut accepted, address) = connect(&feed).await;
    monitor.watching(address).await;
    let handle = connection.handle();
    let reading = tokio::spawn(async move {
        let result = read(&mut connection).await;
        (result, write(&mut connection, b"x").await)
    });
    monitor.say(address, WireVerdict::Dead, WireReason::Unreachable);

    let (read, written) = reading.await.unwrap();
    for error in [read.unwrap_err(), written.unwrap_err()] {
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        let dead = PeerDead::find(&error).unwrap();
        assert_eq!((dead.peer, dead.reason), (address, Reason::Unreachable));
    }
    assert_eq!(handle.closing(), Some(Reason::Unreachable));
    // Linger 0: not a FIN but a reset, so that nothing is left to retransmit.
    let error = accepted.read(&mut [0; 1]).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_connection_that_ends_alive_ends_with_a_fin() {
    let (connection, mut accepted, _) = connect(&Feed::offline()).await;
    drop(connection);
    assert_eq!(accepted.read(&mut [0; 1]).await.unwrap(), 0);
}

#[tokio::test]
async fn a_death_older_than_the_connection_does_not_touch_it() {
    let monitor = LiveMonitor::start();
    let feed = monitor.feed();
    let before = monotonic_ns();
    let (mut connection, mut accepted, address) = connect(&feed).await;
    monitor.watching(address).await;
    let mut watch = feed.watch(address);
    monitor.say_notice(verdict(address, WireVerdict::Dead, WireReason::Unreachable, before));
    assert_eq!(watch.changed().await.verdict, obit::Verdict::Dead);
    assert!(!connection.kill_switch().is_killed());
    accepted.write_all(b"alive").await.unwrap();
    assert_eq!(read(&mut connection).await.unwrap(), b"alive");
}

#[tokio::test]
async fn a_fin_told_by_the_monitor_leaves_the_response_to_be_read() {
    let monitor = LiveMonitor::start();
    let feed = monitor.feed();
    let (mut connection, mut accepted, address) = connect(&feed).await;
    monitor.watching(address).await;
    accepted.write_all(b"the whole response").await.unwrap();
    drop(accepted);
    let handle = connection.handle();
    let cookie = handle.socket_cookie().unwrap();
    monitor.say_of_connection(address, cookie, WireVerdict::Dead, WireReason::PeerClosed);
    assert_eq!(handle.closed().await, Reason::PeerClosed);
    assert!(handle.is_closing() && !handle.kill_switch().is_killed());
    assert_eq!(read(&mut connection).await.unwrap(), b"the whole response");
    assert_eq!(read(&mut connection).await.unwrap(), b"");
}

#[tokio::test]
async fn a_stall_of_one_connection_ends_that_one_and_not_its_sibling() {
    let monitor = LiveMonitor::start();
    let feed = monitor.feed();
    let (listener, address) = listener().await;
    let one = dial(&feed, address, &DialOptions::default()).await.unwrap();
    let other = dial(&feed, address, &DialOptions::default()).await.unwrap();
    monitor.watching(address).await;
    let cookie = one.handle().socket_cookie().unwrap();
    monitor.say_of_connection(address, cookie, WireVerdict::Dead, WireReason::Stalled);
    assert_eq!(one.kill_switch().killed().await.reason, Reason::Stalled);
    assert!(!other.kill_switch().is_killed());
    drop(listener);
}

#[tokio::test]
async fn a_dial_nobody_answers_ends_the_moment_the_death_is_told() {
    let monitor = LiveMonitor::start();
    let feed = monitor.feed();
    let hole = Blackhole::open().await;
    let address = hole.address();
    let dialling = tokio::spawn({
        let options = DialOptions::default();
        async move { dial(&feed, address, &options).await }
    });
    monitor.watching(address).await;
    eventually("a SYN is sent", || dials_in_progress(address) == 1).await;
    monitor.say(address, WireVerdict::Dead, WireReason::SynStalled);
    let error = dialling.await.unwrap().unwrap_err();
    assert!(
        matches!(&error, DialError::PeerDead(dead) if dead.reason == Reason::SynStalled),
        "{error}"
    );
    assert_eq!(dials_in_progress(address), 0);
}

#[tokio::test]
async fn a_dial_dropped_leaves_nothing_in_the_kernel() {
    let hole = Blackhole::open().await;
    let address = hole.address();
    let dialling = tokio::spawn(async move { dial(&Feed::offline(), address, &DialOptions::default()).await });
    eventually("a SYN is sent", || dials_in_progress(address) == 1).await;
    dialling.abort();
    assert!(dialling.await.unwrap_err().is_cancelled());
    assert_eq!(dials_in_progress(address), 0);
}

#[tokio::test]
async fn a_dial_fails_with_what_it_met() {
    let (listener, refusing) = listener().await;
    drop(listener);
    let hole = Blackhole::open().await;
    let mut options = DialOptions::default();
    options.connect_timeout = Some(Duration::from_millis(20));
    let refused = dial(&Feed::offline(), refusing, &options).await.unwrap_err();
    assert!(
        matches!(refused, DialError::Refused { peer } if peer == refusing),
        "{refused}"
    );
    let timed_out = dial(&Feed::offline(), hole.address(), &options).await.unwrap_err();
    assert!(matches!(timed_out, DialError::TimedOut { .. }), "{timed_out}");
    assert_eq!(timed_out.peer(), hole.address());
}

#[tokio::test]
async fn a_probe_sees_that_everything_is_acknowledged_and_does_not_keep_the_socket() {
    let (mut connection, accepted, _) = connect(&Feed::offline()).await;
    let probe = connection.handle().probe();
    write(&mut connection, b"ping").await.unwrap();
    eventually("an acknowledgement", || probe.unacknowledged_bytes() == Some(0)).await;
    let sample = probe.sample().unwrap();
    assert_eq!(
        (sample.unacked, sample.oldest_unacked, sample.silence()),
        (0, None, None)
    );
    assert!(sample.min_rtt > Duration::ZERO && sample.min_rtt < Duration::from_secs(1));
    drop(connection);
    assert_eq!(probe.sample(), None);
    assert_eq!(probe.unacknowledged_bytes(), None);
    drop(accepted);
}

#[tokio::test]
async fn a_peer_that_does_not_read_has_a_closed_window_and_is_not_silent() {
    let (mut connection, _accepted, _) = connect(&Feed::offline()).await;
    let probe = connection.handle().probe();
    let chunk = vec![0; 64 * 1024];
    let fill = async { while write(&mut connection, &chunk).await.is_ok() {} };
    // Nothing is read: the writes end by waiting for ever.
    let full = tokio::time::timeout(Duration::from_millis(500), fill);
    assert!(full.await.is_err());
    eventually("a closed window", || probe.sample().unwrap().is_window_closed()).await;
    let sample = probe.sample().unwrap();
    assert!(sample.oldest_unacked.is_some(), "{sample:?}");
    assert_eq!(sample.silence(), None);
}
