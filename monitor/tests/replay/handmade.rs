//! Recordings of what cannot be had for real, or not at will: a pod's address given to another pod, and losses in the
//! kernel and in the recorder.

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use obit_monitor::record::format::{Entry, FORMAT, Header, Magic, Offset, Saw, Why, encode};
use obit_monitor::sighting::{MonotonicNs, NetnsCookie, Observation, SocketCookie};
use obit_monitor::stall::Bounds;

use crate::{bless, recordings, write_anew};

pub(crate) const PEER: &str = "198.18.0.2:8080";
pub(crate) const OTHER: &str = "198.18.0.3:8080";
const OWN: NetnsCookie = NetnsCookie(4_026);

const HANDSHAKE: Observation = Observation::Handshake {
    rtt: Duration::from_micros(300),
};
const STALLED: Observation = Observation::SynStalled {
    waited: Duration::from_millis(50),
};

/// What happens, at milliseconds from the start.
struct Script(Vec<Entry>);

impl Script {
    fn new() -> Self {
        let peers = [PEER, OTHER].map(|peer| peer.parse().unwrap()).to_vec();
        Self(vec![Entry::Watch {
            now: ms(0),
            subscriber: 0,
            netns: Some(OWN),
            peers,
        }])
    }

    fn saw(self, at: i64, socket: u64, what: Observation) -> Self {
        self.saw_of(PEER, at, socket, what)
    }

    fn saw_of(self, peer: &str, at: i64, socket: u64, what: Observation) -> Self {
        let peer: SocketAddr = peer.parse().unwrap();
        let saw = Saw {
            in_user_ns: false,
            at: ms(at),
            netns: OWN,
            socket: SocketCookie(socket),
            peer,
            what,
        };
        // It takes the reader some microseconds.
        let now = Offset(ms(at).0 + 17_000);
        self.and(Entry::Saw {
            now,
            sightings: vec![saw],
        })
    }

    fn and(mut self, entry: Entry) -> Self {
        self.0.push(entry);
        self
    }

    fn end(self, at: i64) -> Vec<u8> {
        let header = Header {
            obit: Magic::Recording,
            format: FORMAT,
            version: "0.1.0".into(),
            node: "by-hand".into(),
            kernel: "6.18.0".into(),
            start_ns: 1_000_000_000_000,
            start_unix_ms: 1_764_000_000_000,
            stall: Bounds::default().into(),
            signals: ["refused", "syn-stalled", "handshake"].map(Into::into).to_vec(),
            netns: None,
            virtual_addresses: Vec::new(),
        };
        assert_eq!(header.start(), MonotonicNs(1_000_000_000_000));
        let mut file = Vec::new();
        encode(&header, &mut file);
        let end = Entry::End {
            now: ms(at),
            why: Why::Stopped,
        };
        for entry in self.0.iter().chain([&end]) {
            encode(entry, &mut file);
        }
        file
    }
}

fn ms(at: i64) -> Offset {
    Offset(at * 1_000_000)
}

/// A pod vanishes with a connection open; its address is given to a new pod, which answers; only then does the kernel give
/// up on the connection to the old one.
fn ip_reuse() -> Vec<u8> {
    Script::new()
        .saw(10, 1, HANDSHAKE)
        .saw_of(OTHER, 11, 2, HANDSHAKE)
        .saw(1_000, 3, Observation::SynStart)
        .saw(1_050, 3, STALLED)
        .saw(1_300, 1, Observation::Stalled)
        .saw(2_000, 3, Observation::SynRetransmit)
        .saw(9_000, 4, Observation::SynStart)
        .saw(9_001, 4, HANDSHAKE)
        .saw(15_000, 1, Observation::TimedOut)
        .saw(15_500, 5, Observation::SynStart)
        .saw(15_501, 5, HANDSHAKE)
        .end(16_000)
}

/// Sightings are lost in the kernel while a peer's connections are open, so that one of them closing is not all of them.
fn losses() -> Vec<u8> {
    Script::new()
        .saw(10, 1, HANDSHAKE)
        .saw(20, 2, HANDSHAKE)
        .and(Entry::Lost { now: ms(500), total: 7 })
        .saw(600, 2, Observation::PeerClosed)
        .and(Entry::Lost {
            now: ms(1_500),
            total: 9,
        })
        .saw(1_600, 3, Observation::Refused)
        .end(2_000)
}

/// The recorder could not keep up, and with what is missing an answer may be.
fn missing() -> Vec<u8> {
    Script::new()
        .saw(10, 1, Observation::Refused)
        .and(Entry::Missing {
            now: ms(400),
            entries: 12,
        })
        .saw(400, 2, Observation::Refused)
        .end(500)
}

/// Nothing more is seen of a peer that died, until nothing is held of it any more; somebody who comes later is told so.
fn expiry() -> Vec<u8> {
    let after = 61_000;
    Script::new()
        .saw(10, 1, Observation::Refused)
        .saw_of(OTHER, 20, 2, Observation::Unreachable)
        .and(Entry::Watch {
            now: ms(30),
            subscriber: 1,
            netns: Some(NetnsCookie(5_000)),
            peers: vec![PEER.parse().unwrap()],
        })
        .and(Entry::Expire { now: ms(after) })
        .and(Entry::Unwatch {
            now: ms(after),
            subscriber: 0,
            peers: vec![PEER.parse().unwrap()],
        })
        .saw(62_000, 3, HANDSHAKE)
        .end(63_000)
}

/// What is in the folder is what is written here.
pub(crate) fn write_or_compare() {
    for (name, file) in [
        ("ip-reuse", ip_reuse()),
        ("losses", losses()),
        ("missing", missing()),
        ("expiry", expiry()),
    ] {
        let path = recordings().join(name).with_extension("obit");
        if bless() {
            write_anew(&path, &file);
        }
        let there = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(
            there == file,
            "{name} is not as it is written here: run with OBIT_BLESS=1"
        );
    }
}
