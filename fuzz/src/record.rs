//! What lies in the ring buffers, as the monitor reads it.

use std::net::{IpAddr, Ipv6Addr};

use obit_ebpf::{RECORD_BYTES, Record, RecordKind};
use obit_monitor::kernel::decode;

/// What must hold for any bytes in a ring buffer: a record of a known kind is a sighting that says the same, nothing else
/// is one, and a peer has one name.
///
/// # Panics
/// When it does not hold.
pub fn check(input: &[u8]) {
    let record = Record::from_bytes(input);
    assert_eq!(record.is_some(), input.len() == RECORD_BYTES);
    let kind = record.and_then(|record| RecordKind::from_number(record.kind));
    let sighting = decode(input);
    assert_eq!(sighting.is_some(), kind.is_some());
    if let Some(record) = record {
        assert_eq!(bytes(&record), input);
    }
    if let (Some(record), Some(sighting)) = (record, sighting) {
        assert_eq!(
            (sighting.at.0, sighting.socket.0, sighting.netns.0),
            (record.kernel_ns, record.socket_cookie, record.netns_cookie)
        );
        assert_eq!(sighting.peer.port(), record.peer_port);
        let octets = match sighting.peer.ip() {
            IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
            IpAddr::V6(address) => {
                assert_eq!(address.to_ipv4_mapped(), None, "one peer under two names");
                address.octets()
            }
        };
        assert_eq!(octets, record.peer);
    }
}

/// Inputs to begin with: a record of each kind and of one there is not, and one that is cut off.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let record = |kind: u8, peer: Ipv6Addr| {
        bytes(&Record {
            kernel_ns: 1_000_000,
            socket_cookie: 4_097,
            netns_cookie: 1,
            cgroup_id: 0,
            peer: peer.octets(),
            local: Ipv6Addr::LOCALHOST.octets(),
            rtt_us: 1_500,
            snd_una: u32::MAX,
            peer_port: 8_080,
            local_port: 40_000,
            errno: 111,
            in_user_ns: 0,
            kind,
            retransmits: 2,
        })
    };
    let mapped = std::net::Ipv4Addr::new(198, 18, 0, 1).to_ipv6_mapped();
    let mut seeds: Vec<_> = RecordKind::ALL.iter().map(|kind| record(*kind as u8, mapped)).collect();
    seeds.push(record(0, Ipv6Addr::UNSPECIFIED));
    seeds.push(record(RecordKind::Refused as u8, Ipv6Addr::LOCALHOST)[..RECORD_BYTES - 1].to_vec());
    seeds
}

/// The record as the kernel half writes it.
fn bytes(record: &Record) -> Vec<u8> {
    let Record {
        kernel_ns,
        socket_cookie,
        netns_cookie,
        cgroup_id,
        peer,
        local,
        rtt_us,
        snd_una,
        peer_port,
        local_port,
        errno,
        in_user_ns,
        kind,
        retransmits,
    } = *record;
    let mut bytes = Vec::with_capacity(RECORD_BYTES);
    for word in [kernel_ns, socket_cookie, netns_cookie, cgroup_id] {
        bytes.extend(word.to_ne_bytes());
    }
    bytes.extend(peer);
    bytes.extend(local);
    for word in [rtt_us, snd_una] {
        bytes.extend(word.to_ne_bytes());
    }
    for word in [peer_port, local_port] {
        bytes.extend(word.to_ne_bytes());
    }
    bytes.extend([errno, in_user_ns, kind, retransmits]);
    bytes
}
