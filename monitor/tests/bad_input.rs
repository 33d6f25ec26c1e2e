//! Subscribers that do not keep to the protocol, by mistake or on purpose: each is told why and let go, and nobody else
//! notices.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod support;

use std::time::Duration;

use bytes::BufMut;
use obit_monitor::registry::Limits;
use obit_protocol::watch_service::Port;
use obit_protocol::{
    GoodbyeReason, Hello, MAX_FRAME_BYTES, Peer, Ping, Verdict, Watch, WatchService, client_message::Message as Say,
    monitor_message::Message,
};
use support::{Client, Monitor, Setup, hello, peer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

/// A monitor with a well-behaved subscriber, to see that it goes on being served.
struct Stage {
    monitor: Monitor,
    bystander: Client,
    rounds: u64,
    _dir: tempfile::TempDir,
}

impl Stage {
    async fn new() -> Self {
        Self::with(Setup::default()).await
    }

    async fn with(setup: Setup) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let monitor = Monitor::start_with(&dir.path().join("obit.sock"), setup);
        let bystander = Client::watching(&monitor.path, &[peer(60_000)]).await;
        Self {
            monitor,
            bystander,
            rounds: 0,
            _dir: dir,
        }
    }

    /// The bystander is told of the death of a connection.
    async fn goes_on(&mut self) {
        self.rounds += 1;
        self.monitor.reset(self.rounds, peer(60_000));
        let notice = self.bystander.notice().await;
        assert_eq!((notice.verdict(), notice.socket_cookie), (Verdict::Dead, self.rounds));
    }

    /// What a subscriber is told that sends these bytes.
    async fn told_after(&mut self, bytes: &[u8]) -> GoodbyeReason {
        let mut client = Client::connect(&self.monitor.path).await;
        // The monitor may hang up while this is still being sent.
        let _ = client.frames.get_mut().write_all(bytes).await;
        let (reason, detail) = client.goodbye().await;
        assert!(!detail.is_empty());
        self.goes_on().await;
        reason
    }

    /// What a welcomed subscriber is told that says this.
    async fn told_after_saying(&mut self, message: Say) -> (GoodbyeReason, String) {
        let (mut client, _) = Client::welcomed(&self.monitor.path).await;
        client.say(message).await;
        let goodbye = client.goodbye().await;
        self.goes_on().await;
        goodbye
    }
}

fn frame(bytes: &[u8]) -> Vec<u8> {
    let mut frame = vec![];
    frame.put_u32(u32::try_from(bytes.len()).unwrap());
    frame.put_slice(bytes);
    frame
}

#[tokio::test]
async fn garbage_is_named() {
    let mut stage = Stage::new().await;
    assert_eq!(stage.told_after(&frame(&[0xff; 40])).await, GoodbyeReason::Malformed);
    // Read as a length this is a gigabyte.
    let http = b"GET / HTTP/1.1\r\nHost: obit\r\n\r\n";
    assert_eq!(stage.told_after(http).await, GoodbyeReason::FrameTooLarge);
    assert_eq!(stage.told_after(&frame(&[])).await, GoodbyeReason::Protocol);
}

#[tokio::test]
async fn an_oversized_frame_is_refused_at_its_length_and_while_it_is_still_being_sent() {
    let mut stage = Stage::new().await;
    let length = u32::try_from(MAX_FRAME_BYTES + 1).unwrap().to_be_bytes();
    assert_eq!(stage.told_after(&length).await, GoodbyeReason::FrameTooLarge);
    let mut whole = 8_000_000u32.to_be_bytes().to_vec();
    whole.resize(8_000_000, 7);
    assert_eq!(stage.told_after(&whole).await, GoodbyeReason::FrameTooLarge);
}

#[tokio::test]
async fn a_wrong_version_is_told_the_right_one() {
    let mut stage = Stage::new().await;
    let mut client = Client::connect(&stage.monitor.path).await;
    let name = "from the future".into();
    client.say(Say::Hello(Hello { version: 2, name })).await;
    let (reason, detail) = client.goodbye().await;
    assert_eq!(reason, GoodbyeReason::UnsupportedVersion);
    assert!(detail.contains('1') && detail.contains('2'), "{detail}");
    stage.goes_on().await;
}

#[tokio::test]
async fn a_service_that_cannot_be_one_is_named() {
    let mut stage = Stage::new().await;
    let watch = |namespace: &str, port| {
        Say::WatchService(WatchService {
            id: 1,
            namespace: namespace.into(),
            service: "demo".into(),
            port,
            end: false,
        })
    };
    let (reason, detail) = stage.told_after_saying(watch("../shop", Some(Port::Number(80)))).await;
    assert_eq!(reason, GoodbyeReason::Protocol);
    assert!(detail.contains("\"../shop\""), "{detail}");
    for port in [None, Some(Port::Number(0)), Some(Port::Name("a b".into()))] {
        assert_eq!(
            stage.told_after_saying(watch("shop", port)).await.0,
            GoodbyeReason::Protocol
        );
    }
}

#[tokio::test]
async fn half_a_frame_and_then_silence_runs_out_of_time() {
    let mut stage = Stage::new().await;
    // A length alone; a length and some bytes; nothing at all.
    assert_eq!(stage.told_after(&[0, 0, 0, 10]).await, GoodbyeReason::Timeout);
    assert_eq!(stage.told_after(&[0, 0, 0, 10, 10, 8]).await, GoodbyeReason::Timeout);
    assert_eq!(stage.told_after(&[0, 0]).await, GoodbyeReason::Timeout);
    assert_eq!(stage.told_after(&[]).await, GoodbyeReason::Timeout);
    // Also once it has been welcomed, and for every frame anew.
    let (mut client, _) = Client::welcomed(&stage.monitor.path).await;
    client.say(Say::Ping(Ping { token: 1 })).await;
    client.frames.get_mut().write_all(&[0, 0, 0, 10]).await.unwrap();
    assert!(matches!(client.next().await, Message::Pong(_)));
    assert_eq!(client.goodbye().await.0, GoodbyeReason::Timeout);
    stage.goes_on().await;
}

#[tokio::test]
async fn a_frame_that_comes_byte_by_byte_is_not_half_a_frame() {
    let stage = Stage::new().await;
    let (mut client, _) = Client::welcomed(&stage.monitor.path).await;
    for token in 0..20 {
        // A Ping, byte by byte and with a heartbeat in its middle: together longer than the monitor's patience, but no
        // single frame is.
        for byte in [0, 0, 0, 4, 0x1a, 2, 8] {
            client.frames.get_mut().write_all(&[byte]).await.unwrap();
            tokio::task::yield_now().await;
        }
        while !matches!(client.any().await, Some(Message::Heartbeat(_))) {}
        client.frames.get_mut().write_all(&[token + 1]).await.unwrap();
    }
    assert!(matches!(client.next().await, Message::Pong(_)));
}

#[tokio::test]
async fn who_is_welcomed_and_silent_may_stay() {
    let mut stage = Stage::new().await;
    let (mut client, _) = Client::welcomed(&stage.monitor.path).await;
    // Ten heartbeats are more than twice the patience for half a frame.
    for _ in 0..10 {
        assert!(matches!(client.any().await, Some(Message::Heartbeat(_))));
    }
    stage.goes_on().await;
}

#[tokio::test]
async fn what_is_not_allowed_here_is_named() {
    let mut stage = Stage::new().await;
    let (reason, detail) = stage.told_after_saying(hello()).await;
    assert_eq!((reason, detail.as_str()), (GoodbyeReason::Protocol, "a second Hello"));

    let mut early = Client::connect(&stage.monitor.path).await;
    early.watch(1, &[peer(1)]).await;
    assert_eq!(early.goodbye().await.0, GoodbyeReason::Protocol);

    let mut talkative = Client::connect(&stage.monitor.path).await;
    let name = "x".repeat(129);
    talkative.say(Say::Hello(Hello { version: 1, name })).await;
    assert_eq!(talkative.goodbye().await.0, GoodbyeReason::Protocol);
    stage.goes_on().await;
}

#[tokio::test]
async fn an_address_nobody_can_have_is_named() {
    let mut stage = Stage::new().await;
    for (address, port, named) in [
        (vec![1, 2, 3], 80, "not 3"),
        (vec![10, 0, 0, 1], 0, "not 0"),
        (vec![10, 0, 0, 1], 70_000, "not 70000"),
        (vec![0, 0, 0, 0], 80, "0.0.0.0"),
        (vec![224, 0, 0, 1], 80, "224.0.0.1"),
    ] {
        let bad = vec![peer(1).into(), Peer { address, port }];
        for watch in [
            Watch {
                add: bad.clone(),
                remove: vec![],
                id: 1,
            },
            Watch {
                add: vec![],
                remove: bad,
                id: 1,
            },
        ] {
            let (reason, detail) = stage.told_after_saying(Say::Watch(watch)).await;
            assert_eq!(reason, GoodbyeReason::Protocol);
            assert!(detail.contains(named), "{detail}");
        }
    }
}

#[tokio::test]
async fn ten_thousand_watches_at_once_are_answered_while_others_get_their_news() {
    let mut stage = Stage::new().await;
    let (mut client, _) = Client::welcomed(&stage.monitor.path).await;
    let peers: Vec<_> = (0..10_000).map(peer).collect();
    for (id, chunk) in (0..).zip(peers.chunks(4_000)) {
        client.watch(id, chunk).await;
    }
    stage.goes_on().await;
    for id in 0..3 {
        assert_eq!(client.snapshot().await.watch_id, id);
    }
    assert_eq!(stage.monitor.filter.len(), 10_001);
    stage.monitor.refused(peers[9_999]);
    assert_eq!(client.notice().await.peer, Some(peers[9_999].into()));
    // Ten thousand messages of one peer each, too.
    let (mut chatty, _) = Client::welcomed(&stage.monitor.path).await;
    let (mut asking, mut answered) = (0, 0);
    while answered < 10_000 {
        while asking < 10_000 && asking - answered < 500 {
            chatty.watch(u64::from(asking), &[peer(asking)]).await;
            asking += 1;
        }
        assert_eq!(chatty.snapshot().await.watch_id, u64::from(answered));
        answered += 1;
    }
    stage.goes_on().await;
}

#[tokio::test]
async fn more_than_the_limits_is_refused_by_name() {
    let limits = Limits {
        subscribers: 3,
        peers: 100,
        watches: 150,
    };
    let mut stage = Stage::with(Setup {
        limits,
        ..Setup::default()
    })
    .await;
    let watch = |count| {
        Say::Watch(Watch {
            add: (0..count).map(|n| peer(n).into()).collect(),
            remove: vec![],
            id: 1,
        })
    };
    let (reason, detail) = stage.told_after_saying(watch(101)).await;
    assert_eq!(reason, GoodbyeReason::TooManyPeers);
    assert!(detail.contains("100"), "{detail}");

    let _most = Client::watching(&stage.monitor.path, &(0..100).map(peer).collect::<Vec<_>>()).await;
    let (reason, detail) = stage.told_after_saying(watch(60)).await;
    assert_eq!(reason, GoodbyeReason::TooManyPeers);
    assert!(detail.contains("150"), "{detail}");

    let _third = Client::welcomed(&stage.monitor.path).await;
    let mut fourth = Client::connect(&stage.monitor.path).await;
    let (reason, detail) = fourth.goodbye().await;
    assert_eq!(reason, GoodbyeReason::TooManySubscribers);
    assert!(detail.contains('3'), "{detail}");
    stage.goes_on().await;
}

#[tokio::test]
async fn addresses_beyond_what_the_kernel_can_look_at_are_refused() {
    let mut stage = Stage::with(Setup {
        filter_room: 10,
        ..Setup::default()
    })
    .await;
    let add = (0..10).map(|n| peer(n).into()).collect();
    let (reason, detail) = stage
        .told_after_saying(Say::Watch(Watch {
            add,
            remove: vec![],
            id: 1,
        }))
        .await;
    assert_eq!(reason, GoodbyeReason::TooManyPeers);
    assert!(detail.contains("watch filter"), "{detail}");
    assert_eq!(stage.monitor.filter.len(), 1, "what it watched before is given back");
}

#[tokio::test]
async fn a_reader_that_never_reads_is_let_go_while_others_get_every_notice() {
    let mut stage = Stage::with({
        let mut setup = Setup::default();
        // One notice is some 30 bytes: the socket's buffer holds thousands.
        setup.settings.slow_reader = Duration::from_millis(100);
        setup
    })
    .await;
    let peers: Vec<_> = (0..1_000).map(peer).collect();
    let mut deaf = Client::watching(&stage.monitor.path, &peers).await;
    let mut good = Client::watching(&stage.monitor.path, &[peer(0)]).await;
    let mut notices = 0;
    while stage.monitor.hub.sizes().0 > 2 {
        assert!(notices < 10_000_000, "the deaf reader is never let go");
        let first = notices + 1;
        for peer in &peers {
            notices += 1;
            stage.monitor.reset(notices, *peer);
        }
        // The others keep the pace.
        assert_eq!(good.notice().await.socket_cookie, first);
        stage.goes_on().await;
    }
    // It finds what it had not read, and then the end.
    let mut rest = vec![];
    let _ = deaf.frames.get_mut().read_to_end(&mut rest).await;
    assert!(rest.len() < 8_000_000, "{} bytes were kept for it", rest.len());
}

#[tokio::test]
async fn one_that_asks_and_never_reads_the_answers_is_not_listened_to_any_more() {
    let mut setup = Setup::default();
    setup.settings.slow_reader = Duration::from_secs(2);
    let mut stage = Stage::with(setup).await;
    let mut deaf = UnixStream::connect(&stage.monitor.path).await.unwrap();
    let mut pings = frame(&[0x0a, 2, 8, 1]);
    for _ in 0..10_000 {
        pings.extend(frame(&[0x1a, 2, 8, 1]));
    }
    let flood = async {
        // Until the monitor reads no more, and then until it has let go.
        while deaf.write_all(&pings).await.is_ok() {}
    };
    tokio::time::timeout(Duration::from_secs(20), flood)
        .await
        .expect("it is never let go");
    stage.goes_on().await;
}

#[tokio::test]
async fn a_hundred_clients_that_misbehave_at_once_disturb_nobody() {
    let mut stage = Stage::new().await;
    let path = stage.monitor.path.clone();
    let crowd: Vec<_> = (0..100u8)
        .map(|n| {
            let path = path.clone();
            tokio::spawn(async move {
                let mut client = UnixStream::connect(&path).await.unwrap();
                let noise = vec![n; 1 + 37 * usize::from(n)];
                let _ = client.write_all(&noise).await;
                let mut rest = vec![];
                let _ = client.read_to_end(&mut rest).await;
                assert!(!rest.is_empty(), "no goodbye for noise of {n}");
            })
        })
        .collect();
    for _ in 0..20 {
        stage.goes_on().await;
    }
    for one in crowd {
        one.await.unwrap();
    }
    stage.goes_on().await;
}

/// Bytes of memory this process holds.
fn resident() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = pages.split(' ').nth(1).unwrap().parse().unwrap();
    pages * rustix::param::page_size() as u64
}

#[tokio::test]
async fn who_comes_and_goes_all_the_time_costs_nothing_that_stays() {
    let mut stage = Stage::new().await;
    let path = stage.monitor.path.clone();
    let come_and_go = async |times: u64| {
        for n in 0..times {
            match n % 3 {
                // Gone at once, gone after half a word, gone with everything still to be answered.
                0 => drop(UnixStream::connect(&path).await.unwrap()),
                1 => {
                    let mut client = UnixStream::connect(&path).await.unwrap();
                    client.write_all(&[0, 0]).await.unwrap();
                }
                _ => {
                    let (mut client, _) = Client::welcomed(&path).await;
                    let peers: Vec<_> = (0..100).map(peer).collect();
                    client.watch(n, &peers).await;
                }
            }
        }
    };
    let settled = async |stage: &Stage| {
        // The bystander and its one peer.
        while stage.monitor.hub.sizes().0 > 1 || stage.monitor.filter.len() > 1 {
            tokio::task::yield_now().await;
        }
    };
    come_and_go(1_000).await;
    settled(&stage).await;
    let before = resident();
    for _ in 0..10 {
        come_and_go(1_000).await;
        stage.goes_on().await;
    }
    settled(&stage).await;
    let grown = resident().saturating_sub(before);
    assert!(grown < 8 << 20, "{grown} bytes more after ten thousand visits");
    stage.goes_on().await;
}
