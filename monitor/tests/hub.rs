//! What the hub tells of crash loops, of itself and of time passing, with sightings made by hand and a wire that keeps what is written.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::BytesMut;
use obit_monitor::hub::{CHUNK, Filter, Hub};
use obit_monitor::ledger::LIFETIME;
use obit_monitor::registry::{Limits, Wire};
use obit_monitor::sighting::{MonotonicNs, NetnsCookie, Observation, Sighting, SocketCookie};
use obit_protocol::{FrameCodec, MonitorMessage, Notice, Reason, Verdict, monitor_message::Message};
use proptest::prelude::*;
use tokio_util::codec::Decoder;

#[derive(Default)]
struct Paper(Mutex<BytesMut>);

impl Wire for Paper {
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn wake(&self) {}
}

impl Paper {
    fn messages(&self) -> Vec<Message> {
        let (mut codec, mut bytes) = (
            FrameCodec::<MonitorMessage, MonitorMessage>::default(),
            self.0.lock().unwrap(),
        );
        std::iter::from_fn(|| codec.decode(&mut bytes).unwrap()?.message).collect()
    }

    fn notices(&self) -> Vec<Notice> {
        let notice = |message| match message {
            Message::Notice(notice) => notice,
            other => panic!("{other:?}"),
        };
        self.messages().into_iter().map(notice).collect()
    }
}

struct SeesAll;

impl Filter for SeesAll {
    fn insert(&mut self, _: IpAddr) -> io::Result<()> {
        Ok(())
    }

    fn remove(&mut self, _: IpAddr) -> io::Result<()> {
        Ok(())
    }
}

const HERE: NetnsCookie = NetnsCookie(7);
const HANDSHAKE: Observation = Observation::Handshake {
    rtt: Duration::from_micros(80),
};
const STALLED: Observation = Observation::SynStalled {
    waited: Duration::from_millis(50),
};

fn ms(n: u64) -> MonotonicNs {
    MonotonicNs(1_000_000_000_000 + n * 1_000_000)
}

fn seen(at: MonotonicNs, socket: u64, peer: SocketAddr, what: Observation) -> Sighting {
    Sighting {
        in_user_ns: false,
        at,
        netns: HERE,
        socket: SocketCookie(socket),
        peer,
        what,
    }
}

/// A hub with one subscriber, who watches these.
fn watched(peers: &[SocketAddr]) -> (Hub, Arc<Paper>) {
    let hub = Hub::new(Limits::default(), Box::new(SeesAll), ms(0));
    let paper = Arc::new(Paper::default());
    let subscriber = hub.join(Some(HERE), paper.clone()).unwrap();
    for some in peers.chunks(CHUNK) {
        assert_eq!(hub.watch(subscriber, some, ms(0)).unwrap(), []);
    }
    (hub, paper)
}

/// Lets everything that is due be done.
fn settle(hub: &Hub, now: MonotonicNs) {
    for _ in 0..10_000 {
        if hub.next_deadline().is_none_or(|due| due > now) {
            return;
        }
        hub.expire(now);
    }
    panic!("it is never done: {hub:?}");
}

fn hosts(count: u8) -> Vec<SocketAddr> {
    (1..=count).map(|host| ([198, 18, 0, host], 80).into()).collect()
}

fn said(notices: &[Notice]) -> Vec<(Verdict, Reason)> {
    notices.iter().map(|it| (it.verdict(), it.reason())).collect()
}

proptest! {
    /// A pod that comes up, is reached, dies, and refuses until it comes up again, once to ten times a second.
    #[test]
    fn a_crash_loop_is_announced_at_most_once_a_second_and_every_rise_at_once(
        turns in prop::collection::vec((50u64..500, 50u64..500, 1u64..4), 10..80)
    ) {
        let peer = hosts(1)[0];
        let (hub, paper) = watched(&[peer]);
        let (mut now, mut falls, mut up) = (ms(1_000), vec![], true);
        let mut hear = |now: MonotonicNs| {
            for notice in paper.notices().iter().filter(|notice| notice.socket_cookie == 0) {
                let is_up = notice.verdict() == Verdict::Alive;
                if up && !is_up {
                    falls.push(now.0 / 1_000_000);
                }
                up = is_up;
            }
            up
        };
        for (n, (lives, refuses, connections)) in turns.iter().enumerate() {
            let first = n as u64 * 10;
            for socket in first..first + connections {
                hub.observe(now, &[seen(now, socket, peer, HANDSHAKE)]);
                prop_assert!(hear(now), "alive at once");
            }
            let death = now + Duration::from_millis(*lives);
            let rise = death + Duration::from_millis(*refuses);
            while now < rise {
                now = now + Duration::from_millis(5);
                if now == death {
                    for socket in first..first + connections {
                        hub.observe(now, &[seen(now, socket, peer, Observation::PeerClosed)]);
                    }
                } else if now > death {
                    hub.observe(now, &[seen(now, 9_999, peer, Observation::Refused)]);
                }
                settle(&hub, now);
                hear(now);
            }
        }
        for (n, first) in falls.iter().enumerate() {
            for (further, last) in falls[n..].iter().enumerate() {
                prop_assert!(further as u64 <= (last - first) / 1_000 + 1, "{falls:?}");
            }
        }
    }
}

#[test]
fn when_most_peers_fall_silent_at_once_silence_takes_none_of_them_out_of_rotation() {
    let peers = hosts(5);
    let (hub, paper) = watched(&peers);
    // Two dials each, so far apart that they are two questions.
    let apart = Duration::from_millis(11);
    let stall = |at: MonotonicNs, hosts: std::ops::Range<usize>| {
        let both = [(1, at - apart), (2, at)];
        let both = both.into_iter().flat_map(|(socket, at)| {
            let peers = peers[hosts.clone()].iter();
            peers.map(move |peer| seen(at, socket, *peer, STALLED))
        });
        hub.observe(at, &both.collect::<Vec<_>>());
        settle(&hub, at);
    };
    // Two of five: they are dead.
    stall(ms(100), 0..2);
    let dead = (Verdict::Dead, Reason::SynStalled);
    assert_eq!(said(&paper.notices()), [dead, dead]);
    // A third: it is us. A refusal remains what it is.
    hub.observe(ms(150), &[seen(ms(150), 3, peers[4], Observation::Refused)]);
    assert_eq!(said(&paper.notices()), [(Verdict::Dead, Reason::Refused)]);
    stall(ms(160), 0..3);
    let messages = paper.messages();
    let beat = messages.iter().find_map(|message| match message {
        Message::Heartbeat(beat) => Some(beat.node_suspect_since_ns),
        _ => None,
    });
    assert_eq!(beat, Some((ms(160) - apart).0), "since the first silence of the third");
    let mut last = BTreeMap::new();
    for message in messages {
        if let Message::Notice(notice) = message {
            last.insert(notice.peer.clone().unwrap().address, said(&[notice])[0]);
        }
    }
    assert!(
        last.values().all(|it| *it == (Verdict::Unknown, Reason::NodeSuspect)),
        "{last:?}"
    );
    assert_eq!(last.len(), 2, "of the third nothing was known: {last:?}");

    // Something answers: it was us, and what silence said is void.
    hub.observe(ms(400), &[seen(ms(400), 4, peers[3], HANDSHAKE)]);
    settle(&hub, ms(400));
    let messages = paper.messages();
    assert!(
        messages
            .iter()
            .any(|it| matches!(it, Message::Heartbeat(beat) if beat.node_suspect_since_ns == 0))
    );
    let verdicts: Vec<_> = messages
        .iter()
        .filter_map(|it| match it {
            Message::Notice(notice) => Some(notice.verdict()),
            _ => None,
        })
        .collect();
    assert_eq!(verdicts, [Verdict::Alive]);

    // Silent for good: after ten seconds it is they.
    stall(ms(5_000) + apart, 0..3);
    paper.messages();
    stall(ms(14_999), 0..3);
    assert_eq!(paper.messages(), []);
    settle(&hub, ms(15_000));
    let dead: Vec<_> = paper
        .messages()
        .into_iter()
        .filter(|it| matches!(it, Message::Notice(notice) if notice.verdict() == Verdict::Dead))
        .collect();
    assert_eq!(dead.len(), 3);
}

#[test]
fn an_address_with_many_ports_is_looked_at_in_pieces() {
    let peers: Vec<SocketAddr> = (1..=500).map(|port| ([198, 18, 0, 1], port).into()).collect();
    let (hub, paper) = watched(&peers);
    hub.observe(ms(1), &[seen(ms(1), 1, peers[0], Observation::Unreachable)]);
    assert_eq!(paper.notices().len(), CHUNK);
    hub.expire(ms(2));
    assert_eq!(paper.notices().len(), CHUNK);
    settle(&hub, ms(3));
    assert_eq!(paper.notices().len(), 500 - 2 * CHUNK);
}

#[test]
fn a_death_without_fresh_evidence_expires_and_an_unknown_peer_is_never_news() {
    let start = MonotonicNs(1_000_000_000);
    let hub = Hub::new(Limits::default(), Box::new(SeesAll), start);
    let (here, paper) = (NetnsCookie(7), Arc::new(Paper::default()));
    let subscriber = hub.join(Some(here), paper.clone()).unwrap();
    let peers: [SocketAddr; 2] = ["198.18.0.2:80".parse().unwrap(), "198.18.0.3:80".parse().unwrap()];
    assert_eq!(hub.watch(subscriber, &peers, start).unwrap(), []);

    let refused = Sighting {
        in_user_ns: false,
        at: start,
        netns: here,
        socket: SocketCookie(1),
        peer: peers[0],
        what: Observation::Refused,
    };
    hub.observe(start, &[refused]);
    let told: Vec<_> = paper.notices().iter().map(|it| (it.verdict(), it.reason())).collect();
    assert_eq!(told, [(Verdict::Dead, Reason::Refused)]);

    let end = start + LIFETIME;
    assert!(hub.next_deadline().is_some_and(|due| due <= end));
    hub.expire(end);
    let told = paper.notices();
    assert_eq!(told.len(), 1, "only the peer of which something was known: {told:?}");
    assert_eq!(
        (told[0].verdict(), told[0].reason()),
        (Verdict::Unknown, Reason::Expired)
    );
    assert_eq!(
        (told[0].peer.as_ref(), told[0].kernel_ns),
        (Some(&peers[0].into()), end.0)
    );
}
