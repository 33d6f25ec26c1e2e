//! What must hold for any byte stream that arrives as frames, whichever side reads it.
//!
//! An input is a number `n`, `n` bytes that say how long the pieces are in which the stream arrives (taken in turn, over and
//! over), and the stream itself.

use std::fmt::Debug;
use std::net::SocketAddr;

use bytes::BytesMut;
use obit_protocol::{FrameCodec, FrameError, MAX_FRAME_BYTES, Peer, normalise};
use prost::Message;
use tokio_util::codec::{Decoder, Encoder};

use crate::memory::peak_of;

/// The most memory one call of the decoder takes for each byte that arrived. The costliest thing to write in two bytes is an
/// empty `Notice` in a `Snapshot`: 72 bytes each, and three times that while the list that holds them grows.
const MEMORY_PER_BYTE: usize = 128;

/// Room for what an error says, and for the smallest of buffers.
const MEMORY_BESIDE: usize = 8 * 1024;

/// What came of a stream: the messages read, and how it ended.
#[derive(Debug, PartialEq)]
struct Outcome<M> {
    messages: Vec<M>,
    end: String,
}

/// Checks a stream of `M`: no panic, memory bounded, the same messages however it is cut, and each message survives being
/// sent on.
///
/// # Panics
/// When one of these does not hold.
pub(crate) fn check<M>(input: &[u8], peers: impl Fn(&M) -> Vec<&Peer>)
where
    M: Message + Default + PartialEq + Debug + Clone,
{
    let Some((lengths, stream)) = split(input) else {
        return;
    };
    let whole = read::<M>(std::iter::once(stream));
    let cut = read::<M>(Pieces {
        lengths,
        next: 0,
        rest: stream,
    });
    assert_eq!(whole, cut, "the stream says something else when cut");
    for message in &whole.messages {
        comes_back(message);
        peers(message).into_iter().for_each(names_one_address_or_none);
    }
}

fn split(input: &[u8]) -> Option<(&[u8], &[u8])> {
    let (number, rest) = input.split_first()?;
    rest.split_at_checked(usize::from(*number))
}

struct Pieces<'a> {
    lengths: &'a [u8],
    next: usize,
    rest: &'a [u8],
}

impl<'a> Iterator for Pieces<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        let length = match self.lengths {
            [] => 1,
            // A piece of no bytes would be the end of the stream.
            lengths => usize::from(lengths[self.next % lengths.len()]) + 1,
        };
        self.next += 1;
        let (piece, rest) = self.rest.split_at(length.min(self.rest.len()));
        self.rest = rest;
        Some(piece)
    }
}

fn read<'a, M: Message + Default>(pieces: impl Iterator<Item = &'a [u8]>) -> Outcome<M> {
    let (mut codec, mut received) = (FrameCodec::<M, M>::default(), BytesMut::new());
    let mut messages = Vec::new();
    for piece in pieces {
        received.extend_from_slice(piece);
        loop {
            match decode(&mut codec, &mut received, false) {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(error) => {
                    return Outcome {
                        messages,
                        end: error.to_string(),
                    };
                }
            }
        }
    }
    let end = match decode(&mut codec, &mut received, true) {
        Ok(Some(_)) => panic!("a message came out at the end that was there before"),
        Ok(None) => "between two frames".to_owned(),
        Err(error) => error.to_string(),
    };
    Outcome { messages, end }
}

fn decode<M: Message + Default>(
    codec: &mut FrameCodec<M, M>,
    received: &mut BytesMut,
    at_end: bool,
) -> Result<Option<M>, FrameError> {
    let arrived = received.len();
    let (decoded, peak) = peak_of(|| {
        if at_end {
            codec.decode_eof(received)
        } else {
            codec.decode(received)
        }
    });
    // The length prefix may have room reserved for a whole frame that has yet to arrive, and a buffer doubles where it grows.
    let allowed = 2 * MAX_FRAME_BYTES + MEMORY_PER_BYTE * arrived.min(MAX_FRAME_BYTES) + MEMORY_BESIDE;
    assert!(
        peak <= allowed,
        "{peak} bytes of memory for {arrived} bytes that arrived"
    );
    decoded
}

fn comes_back<M: Message + Default + PartialEq + Debug + Clone>(message: &M) {
    let (mut codec, mut wire) = (FrameCodec::<M, M>::default(), BytesMut::new());
    match codec.encode(message.clone(), &mut wire) {
        Ok(()) => {
            assert_eq!(
                codec.decode(&mut wire).expect("a frame just written"),
                Some(message.clone())
            );
            assert!(
                wire.is_empty(),
                "a frame just written is longer than what was read of it"
            );
        }
        // A number may be longer when written as it should be than as it arrived.
        Err(FrameError::TooLarge { limit }) => assert!(message.encoded_len() > limit),
        Err(error) => panic!("{message:?}: {error}"),
    }
}

fn names_one_address_or_none(peer: &Peer) {
    if let Ok(address) = SocketAddr::try_from(peer) {
        assert_eq!(normalise(address), address);
        assert_eq!(SocketAddr::try_from(&Peer::from(address)), Ok(address));
    }
}

/// Inputs to begin with: each message alone in single bytes, all of them in pieces, and streams that are no messages.
pub(crate) fn seeds<M: Message + Default + Clone>(messages: &[M]) -> Vec<Vec<u8>> {
    let frames = |messages: &[M]| {
        let (mut codec, mut wire) = (FrameCodec::<M, M>::default(), BytesMut::new());
        for message in messages {
            codec.encode(message.clone(), &mut wire).expect("a small message");
        }
        wire.to_vec()
    };
    let input = |lengths: &[u8], stream: &[u8]| {
        let number = u8::try_from(lengths.len()).expect("few lengths");
        [&[number], lengths, stream].concat()
    };
    let mut seeds: Vec<_> = messages
        .iter()
        .map(|message| input(&[], &frames(std::slice::from_ref(message))))
        .collect();
    let all = frames(messages);
    seeds.push(input(&[2, 40, 0], &all));
    seeds.push(input(&[9], &all[..all.len() - 1]));
    let too_large = u32::try_from(MAX_FRAME_BYTES + 1).expect("a frame's length has 32 bits");
    seeds.push(input(&[], &too_large.to_be_bytes()));
    seeds.push(input(&[], &(too_large - 1).to_be_bytes()));
    // An empty frame, which is a message without anything in it, and one that is no message.
    seeds.push(input(&[3], &[0, 0, 0, 0, 0, 0, 0, 1, 0xff]));
    seeds
}

/// Peers of each sort: IPv4, IPv6, mapped, without an address.
pub(crate) fn peers() -> Vec<Peer> {
    let mapped = std::net::Ipv4Addr::new(198, 18, 0, 1).to_ipv6_mapped();
    let mut peers: Vec<Peer> = ["198.18.0.1:80", "[2001:db8::1]:65535"]
        .iter()
        .map(|address| Peer::from(address.parse::<SocketAddr>().expect("an address")))
        .collect();
    peers.push(Peer {
        address: mapped.octets().to_vec(),
        port: 443,
    });
    peers.push(Peer::default());
    peers
}
