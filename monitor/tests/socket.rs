//! The socket as subscribers meet it: what they are told, in what order, and when it ends.

mod support;

use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::sync::atomic::Ordering;

use obit_monitor::sighting::Observation;
use obit_protocol::watch_service::Port;
use obit_protocol::{
    EndpointsError, GoodbyeReason, MAX_FRAME_BYTES, Ping, Reason, Verdict, WatchService, client_message,
    monitor_message::Message,
};
use prost::Message as _;
use support::{Client, EPOCH, Monitor, Setup, another, own, peer};

#[tokio::test]
async fn a_subscriber_is_welcomed_told_what_is_known_and_then_what_changes() {
    let dir = tempfile::tempdir().unwrap();
    let monitor = Monitor::start(&dir.path().join("obit.sock"));
    let (mut client, welcome) = Client::welcomed(&monitor.path).await;
    assert_eq!(
        (welcome.version, welcome.epoch, welcome.node.as_str()),
        (1, EPOCH, "node-a")
    );
    assert_eq!(
        (welcome.signals, welcome.heartbeat_ms),
        (vec!["refused".into(), "handshake".into()], 50)
    );
    assert!(welcome.coverage_since_ns > 0);

    client.watch(7, &[peer(1), peer(2)]).await;
    let snapshot = client.snapshot().await;
    assert_eq!(
        (snapshot.watch_id, snapshot.more, snapshot.notices.len()),
        (7, false, 0)
    );

    let at = monitor.refused(peer(1));
    let death = client.notice().await;
    assert_eq!(death.peer, Some(peer(1).into()));
    assert_eq!(
        (death.verdict(), death.reason(), death.evidence),
        (Verdict::Dead, Reason::Refused, 1)
    );
    assert_eq!((death.kernel_ns, death.socket_cookie, death.seq), (at.0, 0, 1));

    let mut late = Client::connect(&monitor.path).await;
    late.say(support::hello()).await;
    late.watch(1, &[peer(2), peer(1)]).await;
    assert!(matches!(late.next().await, Message::Welcome(_)));
    let known = late.snapshot().await;
    assert_eq!((known.seq, known.notices), (1, vec![death]));

    monitor.answered(peer(1));
    for client in [&mut client, &mut late] {
        let life = client.notice().await;
        assert_eq!(
            (life.verdict(), life.reason(), life.seq),
            (Verdict::Alive, Reason::Handshake, 2)
        );
    }
    monitor.stop().await;
}

#[tokio::test]
async fn a_monitor_without_kubernetes_says_so_and_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let monitor = Monitor::start(&dir.path().join("obit.sock"));
    let (mut client, welcome) = Client::welcomed(&monitor.path).await;
    assert_eq!(welcome.capabilities, ["services"]);
    let watch = WatchService {
        id: 7,
        namespace: "shop".into(),
        service: "demo-api".into(),
        port: Some(Port::Name("grpc".into())),
        end: false,
    };
    let end = WatchService {
        id: 7,
        end: true,
        ..WatchService::default()
    };
    // What is asked at once, ended and asked again is answered once: the answer is what is known, not what was asked.
    let questions = [vec![watch.clone(), end, watch.clone()], vec![watch]];
    for question in questions {
        for watch in question {
            client.say(client_message::Message::WatchService(watch)).await;
        }
        let Message::Endpoints(answer) = client.next().await else {
            panic!("an answer was expected")
        };
        assert_eq!((answer.id, answer.error()), (7, EndpointsError::NoKubernetes));
        assert_eq!(
            answer.detail,
            "this monitor does not watch Kubernetes: run it in a pod, or with a kubeconfig"
        );
        assert!(answer.endpoints.is_empty() && !answer.more);
    }
    client.say(client_message::Message::Ping(Ping { token: 42 })).await;
    assert!(matches!(client.next().await, Message::Pong(_)));
}

#[tokio::test]
async fn only_changes_are_news() {
    let dir = tempfile::tempdir().unwrap();
    let monitor = Monitor::start(&dir.path().join("obit.sock"));
    let mut client = Client::watching(&monitor.path, &[peer(1), peer(2)]).await;
    for _ in 0..10 {
        monitor.refused(peer(1));
    }
    monitor.refused(peer(2));
    assert_eq!(client.notice().await.peer, Some(peer(1).into()));
    assert_eq!(client.notice().await.peer, Some(peer(2).into()));
}

#[tokio::test]
async fn a_ping_is_answered_and_heartbeats_come_by_themselves() {
    let dir = tempfile::tempdir().unwrap();
    let monitor = Monitor::start(&dir.path().join("obit.sock"));
    let (mut client, _) = Client::welcomed(&monitor.path).await;
    client.say(client_message::Message::Ping(Ping { token: 42 })).await;
    assert!(matches!(client.next().await, Message::Pong(pong) if pong.token == 42));
    for _ in 0..3 {
        let Some(Message::Heartbeat(heartbeat)) = client.any().await else {
            panic!("no heartbeat");
        };
        assert_eq!((heartbeat.seq, heartbeat.lost, heartbeat.blind_since_ns), (0, 0, 0));
    }
}

#[tokio::test]
async fn what_is_no_longer_watched_is_no_longer_told_and_no_longer_looked_at() {
    let dir = tempfile::tempdir().unwrap();
    let monitor = Monitor::start(&dir.path().join("obit.sock"));
    let mut client = Client::watching(&monitor.path, &[peer(1), peer(2)]).await;
    let mut other = Client::watching(&monitor.path, &[peer(2)]).await;
    assert_eq!(monitor.filter.len(), 2);
    client.unwatch(2, &[peer(1), peer(2), peer(3)]).await;
    client.snapshot().await;
    assert_eq!(monitor.filter.len(), 1);
    client.watch(3, &[peer(3)]).await;
    client.snapshot().await;
    for n in 1..=3 {
        monitor.refused(peer(n));
    }
    assert_eq!(client.notice().await.peer, Some(peer(3).into()));
    assert_eq!(other.notice().await.peer, Some(peer(2).into()));
}

#[tokio::test]
async fn a_subscriber_that_leaves_is_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let monitor = Monitor::start(&dir.path().join("obit.sock"));
    let mut stays = Client::watching(&monitor.path, &[peer(1_000)]).await;
    let leaves = Client::watching(&monitor.path, &(0..500).map(peer).collect::<Vec<_>>()).await;
    assert_eq!((monitor.filter.len(), monitor.hub.sizes().0), (501, 2));
    drop(leaves);
    // Its heartbeats tell when the monitor has noticed.
    while monitor.hub.sizes().0 > 1 {
        stays.any().await;
    }
    assert_eq!((monitor.filter.len(), monitor.hub.sizes()), (1, (1, 1, 1)));
}

#[tokio::test]
async fn the_scope_of_evidence_is_the_namespace_the_subscriber_connected_from() {
    let dir = tempfile::tempdir().unwrap();
    let monitor = Monitor::start(&dir.path().join("obit.sock"));
    let mut client = Client::watching(&monitor.path, &[peer(1)]).await;
    monitor.see(another(), 5, peer(1), Observation::Refused);
    assert_eq!(client.notice().await.verdict(), Verdict::Suspect);
    monitor.refused(peer(1));
    assert_eq!(client.notice().await.verdict(), Verdict::Dead);
}

#[tokio::test]
async fn news_of_a_connection_stays_in_its_namespace() {
    let dir = tempfile::tempdir().unwrap();
    let monitor = Monitor::start(&dir.path().join("obit.sock"));
    let mut client = Client::watching(&monitor.path, &[peer(1)]).await;
    monitor.see(another(), 5, peer(1), Observation::Reset);
    monitor.see(own(), 6, peer(1), Observation::Reset);
    let reset = client.notice().await;
    assert_eq!(
        (reset.socket_cookie, reset.verdict(), reset.reason()),
        (6, Verdict::Dead, Reason::Reset)
    );
    monitor.see(own(), 7, peer(1), Observation::PeerClosed);
    let fin = client.notice().await;
    assert_eq!(
        (fin.socket_cookie, fin.verdict(), fin.reason()),
        (7, Verdict::Draining, Reason::PeerClosed)
    );
}

#[tokio::test]
async fn a_dial_that_nobody_answers_becomes_a_suspicion_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let monitor = Monitor::start(&dir.path().join("obit.sock"));
    let mut client = Client::watching(&monitor.path, &[peer(1)]).await;
    let began = monitor.see(own(), 5, peer(1), Observation::SynStart);
    let suspicion = client.notice().await;
    assert_eq!(
        (suspicion.verdict(), suspicion.reason()),
        (Verdict::Suspect, Reason::SynStalled)
    );
    assert_eq!(
        suspicion.kernel_ns - began.0,
        50_000_000,
        "the moment the threshold ran out"
    );
    monitor.see(own(), 6, peer(1), Observation::SynStart);
    assert_eq!(client.notice().await.verdict(), Verdict::Dead);
}

#[tokio::test]
async fn losses_are_told_and_nothing_is_concluded_from_what_was_not_seen() {
    let dir = tempfile::tempdir().unwrap();
    let monitor = Monitor::start(&dir.path().join("obit.sock"));
    let mut client = Client::watching(&monitor.path, &[peer(1), peer(2)]).await;
    monitor.lost.store(3, Ordering::Relaxed);
    monitor.see(own(), 5, peer(1), Observation::SynStart);
    loop {
        match client.any().await.unwrap() {
            Message::Heartbeat(heartbeat) if heartbeat.lost == 3 => {
                assert!(heartbeat.blind_since_ns > 0);
                break;
            }
            Message::Heartbeat(heartbeat) => assert_eq!(heartbeat.blind_since_ns, 0),
            other => panic!("{other:?}"),
        }
    }
    // The loss was found when the dial's time had run out; its suspicion would have come before this.
    monitor.refused(peer(2));
    assert_eq!(client.notice().await.peer, Some(peer(2).into()));
}

#[tokio::test]
async fn a_snapshot_too_large_for_a_frame_comes_in_parts_with_the_same_seq() {
    let dir = tempfile::tempdir().unwrap();
    let monitor = Monitor::start(&dir.path().join("obit.sock"));
    let peers: Vec<_> = (0..4_000).map(peer).collect();
    let mut first = Client::watching(&monitor.path, &peers).await;
    for peer in &peers {
        monitor.refused(*peer);
    }
    for _ in &peers {
        assert_eq!(first.notice().await.verdict(), Verdict::Dead);
    }
    let (mut second, _) = Client::welcomed(&monitor.path).await;
    second.watch(9, &peers).await;
    let mut told = vec![];
    let mut parts = 0;
    loop {
        let part = second.snapshot().await;
        assert!(part.encoded_len() <= MAX_FRAME_BYTES);
        assert_eq!((part.seq, part.watch_id), (4_000, 9));
        told.extend(part.notices.into_iter().map(|notice| notice.peer.unwrap()));
        parts += 1;
        if !part.more {
            break;
        }
    }
    assert!(parts > 1, "one frame held it");
    assert_eq!(told, peers.iter().copied().map(Into::into).collect::<Vec<_>>());
}

#[tokio::test]
async fn at_the_end_everyone_gets_a_goodbye_and_the_file_goes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run/obit/obit.sock");
    let monitor = Monitor::start(&path);
    let file = std::fs::symlink_metadata(&path).unwrap();
    assert!(file.file_type().is_socket());
    assert_eq!(file.permissions().mode() & 0o777, 0o666);
    let directory = std::fs::metadata(path.parent().unwrap()).unwrap();
    assert_eq!(directory.permissions().mode() & 0o777, 0o755);
    let mut clients = vec![];
    for n in 0..20 {
        clients.push(Client::watching(&path, &[peer(n)]).await);
    }
    clients.push(Client::connect(&path).await);
    let stopped = tokio::spawn(monitor.stop());
    for client in &mut clients {
        assert_eq!(client.goodbye().await.0, GoodbyeReason::Shutdown);
    }
    stopped.await.unwrap();
    assert!(!path.exists());
    assert_eq!(
        std::fs::read_dir(path.parent().unwrap()).unwrap().count(),
        0,
        "something stays behind"
    );
}

#[tokio::test]
async fn a_second_monitor_takes_the_place_and_the_first_leaves_it_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("obit.sock");
    let first = Monitor::start(&path);
    let mut early = Client::watching(&path, &[peer(1)]).await;
    let mut setup = Setup::default();
    setup.settings.epoch = EPOCH + 1;
    let second = Monitor::start_with(&path, setup);
    let (_, welcome) = Client::welcomed(&path).await;
    assert_eq!(welcome.epoch, EPOCH + 1);
    first.refused(peer(1));
    assert_eq!(
        early.notice().await.verdict(),
        Verdict::Dead,
        "the first goes on for its own"
    );
    let stopped = tokio::spawn(first.stop());
    assert_eq!(early.goodbye().await.0, GoodbyeReason::Shutdown);
    stopped.await.unwrap();
    let (_, welcome) = Client::welcomed(&path).await;
    assert_eq!(welcome.epoch, EPOCH + 1);
    second.stop().await;
    assert!(!path.exists());
}

#[tokio::test]
async fn a_second_monitor_that_ends_first_gives_the_place_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("obit.sock");
    let first = Monitor::start(&path);
    let mut setup = Setup::default();
    setup.settings.epoch = EPOCH + 1;
    let second = Monitor::start_with(&path, setup);
    second.stop().await;
    let (_, welcome) = Client::welcomed(&path).await;
    assert_eq!(welcome.epoch, EPOCH, "the first is found again");
    first.stop().await;
    assert_eq!(
        std::fs::read_dir(dir.path()).unwrap().count(),
        0,
        "something stays behind"
    );
}

#[tokio::test]
async fn a_dead_monitors_file_is_replaced_and_anything_else_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("obit.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let monitor = Monitor::start(&path);
    Client::welcomed(&path).await;
    monitor.stop().await;
    std::fs::write(&path, "precious").unwrap();
    let refused = obit_monitor::socket::bind(&path, 1).unwrap_err();
    assert!(refused.to_string().contains("is no socket"), "{refused}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
}
