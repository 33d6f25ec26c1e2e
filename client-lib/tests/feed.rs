//! The feed against a monitor on a real unix socket: what it learns, what it forgets, and that it never gives up.

mod support;

use std::net::SocketAddr;
use std::time::Duration;

use obit::{Feed, FeedStatus, Health, PeerWatch, Reason, Verdict};
use obit_protocol::monitor_message::Message;
use obit_protocol::{Goodbye, GoodbyeReason, Reason as WireReason, Verdict as WireVerdict, Welcome};
use support::{FakeMonitor, verdict};
use tokio::io::AsyncWriteExt;

fn peer(last: u8) -> SocketAddr {
    SocketAddr::from(([198, 18, 0, last], 8080))
}

async fn becomes(watch: &mut PeerWatch, wanted: Verdict) -> Health {
    loop {
        let health = watch.health();
        if health.verdict == wanted {
            return health;
        }
        watch.changed().await;
    }
}

async fn connected(feed: &mut Feed) -> FeedStatus {
    while !feed.status().is_connected() {
        feed.status_changed().await;
    }
    feed.status()
}

async fn blind(feed: &mut Feed) {
    while feed.status().is_connected() {
        feed.status_changed().await;
    }
}

#[tokio::test]
async fn a_peer_is_asked_about_once_and_its_verdict_arrives() {
    let monitor = FakeMonitor::start();
    let mut feed = monitor.feed();
    let mut first = feed.watch(peer(1));
    let second = feed.watch("[::ffff:198.18.0.1]:8080".parse().unwrap());
    let mut subscriber = monitor.subscriber(7).await;
    let status = connected(&mut feed).await;
    let FeedStatus::Connected {
        epoch,
        node,
        signals,
        losing,
        ..
    } = status
    else {
        panic!("{status:?}");
    };
    assert_eq!((epoch, &*node, signals.len(), losing), (7, "node-1", 2, false));

    let asked = subscriber.watch().await;
    assert_eq!(asked.add, [peer(1).into()]);
    subscriber
        .say(verdict(peer(1), WireVerdict::Dead, WireReason::Refused, 99))
        .await;
    let health = becomes(&mut first, Verdict::Dead).await;
    assert_eq!(
        (health.reason, health.evidence, health.kernel_ns),
        (Reason::Refused, 1, 99)
    );
    assert_eq!(second.health(), health);
    assert_eq!(
        second.obituary().map(|dead| (dead.peer, dead.reason)),
        Some((peer(1), Reason::Refused))
    );
}

#[tokio::test]
async fn the_last_watch_dropped_is_the_end_of_asking() {
    let monitor = FakeMonitor::start();
    let feed = monitor.feed();
    let mut subscriber = monitor.subscriber(1).await;
    let (first, second) = (feed.watch(peer(1)), feed.watch(peer(1)));
    assert_eq!(subscriber.watch().await.add, [peer(1).into()]);
    drop(first.clone());
    drop(first);
    // The next question is about another peer: dropping one of two watches asked for nothing.
    let other = feed.watch(peer(2));
    let asked = subscriber.watch().await;
    assert_eq!((asked.add, asked.remove), (vec![peer(2).into()], vec![]));
    drop(second);
    let asked = subscriber.watch().await;
    assert_eq!((asked.add, asked.remove), (vec![], vec![peer(1).into()]));
    drop(other);
}

#[tokio::test]
async fn a_snapshot_tells_what_was_known_before_the_question() {
    let monitor = FakeMonitor::start();
    let feed = monitor.feed();
    let mut subscriber = monitor.subscriber(1).await;
    let (mut dead, mut alive) = (feed.watch(peer(1)), feed.watch(peer(2)));
    let known = vec![
        verdict(peer(1), WireVerdict::Dead, WireReason::Unreachable, 5),
        verdict(peer(2), WireVerdict::Alive, WireReason::Handshake, 6),
    ];
    subscriber.asked_for([peer(1), peer(2)], known).await;
    becomes(&mut dead, Verdict::Dead).await;
    becomes(&mut alive, Verdict::Alive).await;
}

#[tokio::test]
async fn thousands_of_peers_are_asked_about_in_frames_that_fit() {
    let monitor = FakeMonitor::start();
    let feed = monitor.feed();
    let peers: Vec<_> = (0..5_000u32)
        .map(|n| SocketAddr::from(((0xc612_0000 + n).to_be_bytes(), 8080)))
        .collect();
    let mut watches: Vec<_> = peers.iter().map(|peer| feed.watch(*peer)).collect();
    let mut subscriber = monitor.subscriber(1).await;
    let known = peers
        .iter()
        .map(|peer| verdict(*peer, WireVerdict::Suspect, WireReason::SynStalled, u64::MAX))
        .collect();
    subscriber.asked_for(peers, known).await;
    for watch in &mut watches {
        becomes(watch, Verdict::Suspect).await;
    }
}

#[tokio::test]
async fn without_a_monitor_every_peer_is_unknown_and_the_feed_joins_one_that_starts() {
    let directory = FakeMonitor::start().stop();
    std::fs::remove_file(directory.path().join("obit.sock")).unwrap();
    let mut feed = Feed::connect(directory.path().join("obit.sock"));
    let mut watch = feed.watch(peer(1));
    assert!(!feed.status().is_connected());
    assert_eq!(watch.health(), Health::UNKNOWN);

    let listener = tokio::net::UnixListener::bind(directory.path().join("obit.sock")).unwrap();
    let monitor = FakeMonitor::adopt(listener, directory);
    let mut subscriber = monitor.subscriber(1).await;
    connected(&mut feed).await;
    let known = vec![verdict(peer(1), WireVerdict::Alive, WireReason::Handshake, 1)];
    subscriber.asked_for([peer(1)], known).await;
    becomes(&mut watch, Verdict::Alive).await;
}

#[tokio::test]
async fn a_monitor_lost_mid_run_voids_what_it_told() {
    let monitor = FakeMonitor::start();
    let mut feed = monitor.feed();
    let (mut dead, mut alive) = (feed.watch(peer(1)), feed.watch(peer(2)));
    let mut subscriber = monitor.subscriber(1).await;
    let known = vec![
        verdict(peer(1), WireVerdict::Dead, WireReason::Refused, 1),
        verdict(peer(2), WireVerdict::Alive, WireReason::Handshake, 1),
    ];
    subscriber.asked_for([peer(1), peer(2)], known).await;
    becomes(&mut dead, Verdict::Dead).await;
    becomes(&mut alive, Verdict::Alive).await;

    drop(subscriber);
    let _directory = monitor.stop();
    blind(&mut feed).await;
    becomes(&mut dead, Verdict::Unknown).await;
    becomes(&mut alive, Verdict::Unknown).await;
    assert_eq!(dead.obituary(), None);
}

#[tokio::test]
async fn a_restarted_monitor_is_asked_everything_again_and_its_numbers_begin_anew() {
    let monitor = FakeMonitor::start();
    let mut feed = monitor.feed();
    let mut watch = feed.watch(peer(1));
    let mut subscriber = monitor.subscriber(1).await;
    subscriber.asked_for([peer(1)], vec![]).await;
    for _ in 0..10 {
        subscriber
            .say(verdict(peer(1), WireVerdict::Suspect, WireReason::SynStalled, 1))
            .await;
    }
    becomes(&mut watch, Verdict::Suspect).await;

    let monitor = monitor.restart();
    drop(subscriber);
    let mut subscriber = monitor.subscriber(2).await;
    // The second monitor's first number is below the first one's last.
    subscriber.asked_for([peer(1)], vec![]).await;
    subscriber
        .say(verdict(peer(1), WireVerdict::Alive, WireReason::Handshake, 2))
        .await;
    becomes(&mut watch, Verdict::Alive).await;
    let FeedStatus::Connected { epoch, .. } = connected(&mut feed).await else {
        panic!("connected");
    };
    assert_eq!(epoch, 2);
}

#[tokio::test]
async fn garbage_from_a_monitor_ends_the_session_and_the_next_one_begins() {
    let unusable = obit_protocol::Peer {
        address: vec![1],
        port: 0,
    };
    let frames: [&[u8]; 3] = [
        // A length beyond the limit.
        &[0xff; 8],
        // Four bytes that are no message.
        &[0, 0, 0, 4, 0xff, 0xff, 0xff, 0xff],
        // Half a frame, and the end.
        &[0, 0, 0, 9, 1],
    ];
    let monitor = FakeMonitor::start();
    let mut feed = monitor.feed();
    let mut watch = feed.watch(peer(1));
    for garbage in frames {
        let mut subscriber = monitor.subscriber(1).await;
        subscriber
            .asked_for(
                [peer(1)],
                vec![verdict(peer(1), WireVerdict::Alive, WireReason::Handshake, 1)],
            )
            .await;
        becomes(&mut watch, Verdict::Alive).await;
        subscriber.into_stream().write_all(garbage).await.unwrap();
        becomes(&mut watch, Verdict::Unknown).await;
        blind(&mut feed).await;
    }
    let mut subscriber = monitor.subscriber(1).await;
    let mut notice = verdict(peer(1), WireVerdict::Dead, WireReason::Refused, 1);
    notice.peer = Some(unusable);
    subscriber.say(notice).await;
    subscriber.hung_up().await;
    drop(monitor.subscriber(1).await);
}

#[tokio::test]
async fn a_second_welcome_and_a_word_before_the_first_end_the_session() {
    let monitor = FakeMonitor::start();
    let _feed = monitor.feed();
    let mut subscriber = monitor.subscriber(1).await;
    subscriber.send(Message::Welcome(Welcome::default())).await;
    subscriber.hung_up().await;

    let wrong_version = Welcome {
        version: 99,
        ..Welcome::default()
    };
    monitor.subscriber_with(wrong_version).await.hung_up().await;
    drop(monitor.subscriber(1).await);
}

#[tokio::test]
async fn a_goodbye_is_heeded_and_the_monitor_is_asked_again() {
    let monitor = FakeMonitor::start();
    let mut feed = monitor.feed();
    let mut subscriber = monitor.subscriber(1).await;
    connected(&mut feed).await;
    let goodbye = Goodbye {
        reason: GoodbyeReason::Shutdown.into(),
        detail: "ending".into(),
    };
    subscriber.send(Message::Goodbye(goodbye)).await;
    subscriber.hung_up().await;
    drop(monitor.subscriber(2).await);
}

#[tokio::test]
async fn three_heartbeats_of_silence_make_blind() {
    let monitor = FakeMonitor::start();
    let mut feed = monitor.feed();
    let mut watch = feed.watch(peer(1));
    let welcome = Welcome {
        version: obit_protocol::PROTOCOL_VERSION,
        heartbeat_ms: 100,
        ..Welcome::default()
    };
    let mut subscriber = monitor.subscriber_with(welcome).await;
    let known = vec![verdict(peer(1), WireVerdict::Alive, WireReason::Handshake, 1)];
    subscriber.asked_for([peer(1)], known).await;
    becomes(&mut watch, Verdict::Alive).await;
    // The socket stays open, and nothing is said: the feed hangs up by itself.
    blind(&mut feed).await;
    becomes(&mut watch, Verdict::Unknown).await;
    subscriber.hung_up().await;
}

#[tokio::test]
async fn a_monitor_that_says_nothing_but_heartbeats_is_not_silent() {
    let monitor = FakeMonitor::start();
    let mut feed = monitor.feed();
    let welcome = Welcome {
        version: obit_protocol::PROTOCOL_VERSION,
        heartbeat_ms: 200,
        ..Welcome::default()
    };
    let mut subscriber = monitor.subscriber_with(welcome).await;
    connected(&mut feed).await;
    let mut ticks = tokio::time::interval(Duration::from_millis(100));
    for _ in 0..10 {
        ticks.tick().await;
        subscriber.heartbeat().await;
    }
    assert!(feed.status().is_connected());
}

#[tokio::test]
async fn a_monitor_that_never_answers_the_greeting_is_left() {
    let monitor = FakeMonitor::start();
    let _feed = Feed::builder()
        .path(monitor.path())
        .answer_timeout(Duration::from_millis(20))
        .connect();
    let _silent = monitor.accept().await;
    drop(monitor.subscriber(1).await);
}

#[tokio::test]
async fn addresses_no_monitor_can_speak_of_are_never_sent() {
    let monitor = FakeMonitor::start();
    let feed = monitor.feed();
    let nowhere: Vec<_> = ["0.0.0.0:80", "198.18.0.1:0", "224.0.0.1:80", "[::]:80"]
        .map(|address| feed.watch(address.parse().unwrap()))
        .into();
    let _somewhere = feed.watch(peer(1));
    let mut subscriber = monitor.subscriber(1).await;
    assert_eq!(subscriber.watch().await.add, [peer(1).into()]);
    assert!(nowhere.iter().all(|watch| watch.health() == Health::UNKNOWN));
}

#[tokio::test]
async fn the_name_given_is_the_name_told() {
    let monitor = FakeMonitor::start();
    let _feed = Feed::builder().path(monitor.path()).name("shop").connect();
    assert_eq!(monitor.subscriber(1).await.hello.name, "shop");
}

#[tokio::test]
async fn the_subscription_ends_with_the_last_handle() {
    let monitor = FakeMonitor::start();
    let feed = monitor.feed();
    let watch = feed.watch(peer(1));
    let subscriber = monitor.subscriber(1).await;
    drop(feed);
    drop(watch);
    subscriber.hung_up().await;
}

#[tokio::test]
async fn a_feed_without_a_monitor_is_blind_and_quiet() {
    let feed = Feed::offline();
    let watch = feed.watch(peer(1));
    assert!(matches!(feed.status(), FeedStatus::Blind { .. }));
    assert_eq!(watch.health(), Health::UNKNOWN);
}

#[tokio::test]
async fn a_monitor_that_suspects_this_node_says_so_in_the_status() {
    let monitor = FakeMonitor::start();
    let mut feed = monitor.feed();
    let mut subscriber = monitor.subscriber(1).await;
    connected(&mut feed).await;
    for (since, suspect) in [(5, true), (0, false)] {
        let beat = obit_protocol::Heartbeat {
            node_suspect_since_ns: since,
            ..Default::default()
        };
        subscriber.send(Message::Heartbeat(beat)).await;
        loop {
            if let FeedStatus::Connected { node_suspect, .. } = feed.status_changed().await
                && node_suspect == suspect
            {
                break;
            }
        }
    }
}

#[tokio::test]
async fn a_monitor_that_loses_observations_says_so_in_the_status() {
    let monitor = FakeMonitor::start();
    let mut feed = monitor.feed();
    let mut subscriber = monitor.subscriber(1).await;
    connected(&mut feed).await;
    let losing = obit_protocol::Heartbeat {
        blind_since_ns: 5,
        lost: 3,
        ..Default::default()
    };
    subscriber.send(Message::Heartbeat(losing)).await;
    loop {
        if let FeedStatus::Connected { losing: true, .. } = feed.status_changed().await {
            break;
        }
    }
}
