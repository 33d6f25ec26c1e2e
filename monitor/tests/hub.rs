//! What the hub tells of time passing, with sightings made by hand and a wire that keeps what is written.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use bytes::BytesMut;
use obit_monitor::hub::{Filter, Hub};
use obit_monitor::ledger::LIFETIME;
use obit_monitor::registry::{Limits, Wire};
use obit_monitor::sighting::{MonotonicNs, NetnsCookie, Observation, Sighting, SocketCookie};
use obit_protocol::{FrameCodec, MonitorMessage, Notice, Reason, Verdict, monitor_message::Message};
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
    fn notices(&self) -> Vec<Notice> {
        let (mut codec, mut bytes) = (
            FrameCodec::<MonitorMessage, MonitorMessage>::default(),
            self.0.lock().unwrap(),
        );
        let mut notices = Vec::new();
        while let Some(message) = codec.decode(&mut bytes).unwrap() {
            match message.message {
                Some(Message::Notice(notice)) => notices.push(notice),
                other => panic!("{other:?}"),
            }
        }
        notices
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

#[test]
fn a_death_without_fresh_evidence_expires_and_an_unknown_peer_is_never_news() {
    let start = MonotonicNs(1_000_000_000);
    let hub = Hub::new(Limits::default(), Box::new(SeesAll), start);
    let (here, paper) = (NetnsCookie(7), Arc::new(Paper::default()));
    let subscriber = hub.join(Some(here), paper.clone()).unwrap();
    let peers: [SocketAddr; 2] = ["198.18.0.2:80".parse().unwrap(), "198.18.0.3:80".parse().unwrap()];
    assert_eq!(hub.watch(subscriber, &peers, start).unwrap(), []);

    let refused = Sighting {
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
