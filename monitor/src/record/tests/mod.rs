mod damage;
mod properties;
mod recording;

use std::net::SocketAddr;
use std::time::Duration;

use super::format::{Entry, FORMAT, Header, Magic, Offset, Saw, Why, encode};
use crate::sighting::{MonotonicNs, NetnsCookie, Observation, Sighting, SocketCookie};
use crate::stall::Bounds;

const START: MonotonicNs = MonotonicNs(7_000_000_000);
const OWN: NetnsCookie = NetnsCookie(4_026);

fn header() -> Header {
    Header {
        obit: Magic::Recording,
        format: FORMAT,
        version: "0.1.0".into(),
        node: "node-a".into(),
        kernel: "6.18.0".into(),
        start_ns: START.0,
        start_unix_ms: 1_764_000_000_000,
        stall: Bounds::default().into(),
        signals: vec!["refused".into(), "handshake".into()],
        netns: None,
        virtual_addresses: Vec::new(),
    }
}

fn peer() -> SocketAddr {
    "198.18.0.2:8080".parse().unwrap()
}

fn seen(at: MonotonicNs, what: Observation) -> Sighting {
    Sighting {
        in_user_ns: false,
        at,
        netns: OWN,
        socket: SocketCookie(9),
        peer: peer(),
        what,
    }
}

/// One of each kind.
fn entries() -> Vec<Entry> {
    let now = Offset(1_000);
    let stalled = Observation::SynStalled {
        waited: Duration::from_millis(50),
    };
    let sightings = [Observation::Refused, stalled].map(|what| Saw::of(&seen(START, what), START));
    vec![
        Entry::Watch {
            now,
            subscriber: 0,
            netns: Some(OWN),
            peers: vec![peer(), "[fd00::2]:80".parse().unwrap()],
        },
        Entry::Saw {
            now,
            sightings: sightings.to_vec(),
        },
        Entry::Lost { now, total: 3 },
        Entry::Hearing {
            now,
            deaf_since: Some(Offset(-5)),
        },
        Entry::Missing { now, entries: 4 },
        Entry::Expire { now },
        Entry::Unwatch {
            now,
            subscriber: 0,
            peers: vec![peer()],
        },
        Entry::End { now, why: Why::Stopped },
    ]
}

fn file(entries: &[Entry]) -> Vec<u8> {
    let mut file = Vec::new();
    encode(&header(), &mut file);
    for entry in entries {
        encode(entry, &mut file);
    }
    file
}
