//! Frames and peers survive the wire, and what is not a frame is named.

use std::net::{IpAddr, SocketAddr};

use bytes::{BufMut, BytesMut};
use obit_protocol::{
    ClientMessage, FrameCodec, FrameError, MAX_FRAME_BYTES, Peer, PeerError, Ping, Watch, client_message::Message,
    normalise,
};
use proptest::prelude::*;
use tokio_util::codec::{Decoder, Encoder};

type Codec = FrameCodec<ClientMessage, ClientMessage>;

fn watch(peers: impl IntoIterator<Item = SocketAddr>) -> ClientMessage {
    let add = peers.into_iter().map(Peer::from).collect();
    ClientMessage {
        message: Some(Message::Watch(Watch {
            add,
            remove: vec![],
            id: 1,
        })),
    }
}

fn any_unicast() -> impl Strategy<Value = SocketAddr> {
    (any::<IpAddr>(), 1..=u16::MAX)
        .prop_map(|(ip, port)| SocketAddr::new(ip.to_canonical(), port))
        .prop_filter("one peer", |address| {
            !address.ip().is_unspecified() && !address.ip().is_multicast()
        })
}

proptest! {
    #[test]
    fn a_message_cut_into_any_pieces_arrives_whole(
        peers in prop::collection::vec(any_unicast(), 0..50),
        cuts in prop::collection::vec(1usize..40, 1..200),
    ) {
        let (sent, mut wire) = (watch(peers), BytesMut::new());
        Codec::default().encode(sent.clone(), &mut wire).unwrap();
        let (mut codec, mut received, mut cuts) = (Codec::default(), BytesMut::new(), cuts.into_iter().cycle());
        let mut arrived = None;
        while arrived.is_none() {
            prop_assert!(!wire.is_empty(), "the whole frame arrived and no message came out");
            let piece = wire.split_to(cuts.next().unwrap().min(wire.len()));
            received.extend_from_slice(&piece);
            arrived = codec.decode(&mut received).unwrap();
        }
        prop_assert_eq!(arrived, Some(sent));
        prop_assert!(wire.is_empty() && received.is_empty());
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let (mut codec, mut wire) = (Codec::default(), BytesMut::from(bytes.as_slice()));
        while let Ok(Some(_)) = codec.decode(&mut wire) {}
    }

    #[test]
    fn a_peer_comes_back_as_the_address_it_was_made_of(address in any_unicast()) {
        prop_assert_eq!(SocketAddr::try_from(&Peer::from(address)), Ok(address));
    }
}

#[test]
fn a_length_beyond_the_limit_is_refused_before_its_bytes_arrive() {
    let mut wire = BytesMut::new();
    wire.put_u32(u32::try_from(MAX_FRAME_BYTES).unwrap() + 1);
    assert!(matches!(
        Codec::default().decode(&mut wire),
        Err(FrameError::TooLarge { limit: MAX_FRAME_BYTES })
    ));
}

#[test]
fn a_message_beyond_the_limit_is_not_sent() {
    let many = (0..20_000u32).map(|n| SocketAddr::new(IpAddr::from((n + 0x0a00_0000).to_be_bytes()), 80));
    let mut wire = BytesMut::new();
    assert!(matches!(
        Codec::default().encode(watch(many), &mut wire),
        Err(FrameError::TooLarge { .. })
    ));
    assert!(wire.is_empty());
}

#[test]
fn bytes_that_are_no_message_are_named_malformed() {
    let mut wire = BytesMut::new();
    wire.put_u32(4);
    wire.put_slice(&[0xff; 4]);
    assert!(matches!(
        Codec::default().decode(&mut wire),
        Err(FrameError::Malformed(_))
    ));
}

#[test]
fn two_frames_in_one_read_come_out_one_by_one() {
    let mut wire = BytesMut::new();
    for token in [1, 2] {
        let ping = ClientMessage {
            message: Some(Message::Ping(Ping { token })),
        };
        Codec::default().encode(ping, &mut wire).unwrap();
    }
    let mut codec = Codec::default();
    for token in [1, 2] {
        let ping = codec.decode(&mut wire).unwrap();
        assert_eq!(ping.and_then(|ping| ping.message), Some(Message::Ping(Ping { token })));
    }
}

#[test]
fn an_ipv4_peer_on_an_ipv6_socket_is_the_ipv4_peer() {
    let mapped: SocketAddr = "[::ffff:198.18.0.2]:8080".parse().unwrap();
    let plain: SocketAddr = "198.18.0.2:8080".parse().unwrap();
    assert_eq!(normalise(mapped), plain);
    assert_eq!(Peer::from(mapped), Peer::from(plain));
}

#[test]
fn what_is_no_single_peer_is_refused_by_name() {
    let peer = |address: &[u8], port| Peer {
        address: address.to_vec(),
        port,
    };
    assert_eq!(
        SocketAddr::try_from(&peer(&[1, 2, 3], 80)),
        Err(PeerError::AddressLength(3))
    );
    assert_eq!(SocketAddr::try_from(&peer(&[10, 0, 0, 1], 0)), Err(PeerError::Port(0)));
    assert_eq!(
        SocketAddr::try_from(&peer(&[10, 0, 0, 1], 65_536)),
        Err(PeerError::Port(65_536))
    );
    let nobody = IpAddr::from([0, 0, 0, 0]);
    assert_eq!(
        SocketAddr::try_from(&peer(&[0, 0, 0, 0], 80)),
        Err(PeerError::NotUnicast(nobody))
    );
}
