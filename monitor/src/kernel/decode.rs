//! A kernel record becomes a sighting. Pure; a record this daemon does not know is no error of the kernel's.

use std::net::{Ipv6Addr, SocketAddr};
use std::time::Duration;

use obit_ebpf::{Record, RecordKind};

use crate::sighting::{MonotonicNs, NetnsCookie, Observation, Sighting, SocketCookie};

/// The sighting in a record; `None` if it is none (of another size, or of a kind not known here).
/// [`KernelRecords`](super::KernelRecords) does this with what lies in the ring buffers.
#[must_use]
pub fn decode(bytes: &[u8]) -> Option<Sighting> {
    let record = Record::from_bytes(bytes)?;
    Some(Sighting {
        at: MonotonicNs(record.kernel_ns),
        netns: NetnsCookie(record.netns_cookie),
        in_user_ns: record.in_user_ns != 0,
        socket: SocketCookie(record.socket_cookie),
        peer: SocketAddr::new(Ipv6Addr::from(record.peer).to_canonical(), record.peer_port),
        what: observation(RecordKind::from_number(record.kind)?, record.rtt_us),
    })
}

fn observation(kind: RecordKind, rtt_us: u32) -> Observation {
    match kind {
        RecordKind::Refused => Observation::Refused,
        RecordKind::Unreachable => Observation::Unreachable,
        RecordKind::SynTimeout => Observation::SynTimeout,
        RecordKind::SynStart => Observation::SynStart,
        RecordKind::SynRetransmit => Observation::SynRetransmit,
        RecordKind::Handshake => Observation::Handshake {
            rtt: Duration::from_micros(rtt_us.into()),
        },
        RecordKind::Reset => Observation::Reset,
        RecordKind::PeerClosed => Observation::PeerClosed,
        RecordKind::Stalled => Observation::Stalled,
        RecordKind::TimedOut => Observation::TimedOut,
        RecordKind::Ended => Observation::Ended,
        RecordKind::Abandoned => Observation::Abandoned,
        RecordKind::SoftError => Observation::SoftError,
        RecordKind::ListenerClosed => Observation::ListenerClosed,
        RecordKind::ListenerOpened => Observation::ListenerOpened,
        RecordKind::Home => Observation::Home,
    }
}

#[cfg(test)]
mod tests {
    use obit_ebpf::{KINDS, RECORD_BYTES};
    use proptest::prelude::*;

    use super::*;

    fn bytes(kind: u8, peer: Ipv6Addr) -> [u8; RECORD_BYTES] {
        let mut bytes = [0; RECORD_BYTES];
        bytes[..8].copy_from_slice(&5_u64.to_ne_bytes());
        bytes[8..16].copy_from_slice(&6_u64.to_ne_bytes());
        bytes[16..24].copy_from_slice(&7_u64.to_ne_bytes());
        bytes[32..48].copy_from_slice(&peer.octets());
        bytes[64..68].copy_from_slice(&1_500_u32.to_ne_bytes());
        bytes[72..74].copy_from_slice(&8080_u16.to_ne_bytes());
        bytes[78] = kind;
        bytes
    }

    #[test]
    fn a_mapped_peer_becomes_an_ipv4_peer() {
        let sighting = decode(&bytes(5, "::ffff:198.18.0.1".parse().unwrap())).unwrap();
        assert_eq!(sighting.peer, "198.18.0.1:8080".parse().unwrap());
        assert_eq!(
            sighting.what,
            Observation::Handshake {
                rtt: Duration::from_micros(1_500)
            }
        );
        assert_eq!(
            (sighting.at, sighting.socket, sighting.netns),
            (MonotonicNs(5), SocketCookie(6), NetnsCookie(7))
        );
    }

    #[test]
    fn who_owns_the_namespace_is_told() {
        let mut bytes = bytes(1, Ipv6Addr::LOCALHOST);
        assert!(!decode(&bytes).unwrap().in_user_ns);
        bytes[77] = 1;
        assert!(decode(&bytes).unwrap().in_user_ns);
    }

    #[test]
    fn every_known_kind_is_a_sighting_and_no_other() {
        for kind in 0..=u8::MAX {
            let known = (1..KINDS).contains(&usize::from(kind));
            assert_eq!(decode(&bytes(kind, Ipv6Addr::LOCALHOST)).is_some(), known, "{kind}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let sighting = decode(&bytes);
            prop_assert!(sighting.is_none() || bytes.len() == RECORD_BYTES);
        }
    }
}
