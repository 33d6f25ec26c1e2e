//! Inputs that make a reader take the most memory: larger than those a fuzzer tries. Memory is counted for the whole
//! process, so this is one test.

use obit_protocol::{
    ClientMessage, MAX_FRAME_BYTES, MonitorMessage, Notice, Peer, Snapshot, Watch, client_message, monitor_message,
};
use prost::Message;

/// A frame of that message after what says how it is cut: in pieces of 256 bytes.
fn input(message: &impl Message) -> Vec<u8> {
    let length = u32::try_from(message.encoded_len()).expect("a frame's length has 32 bits");
    [&[1, 0xff][..], &length.to_be_bytes(), &message.encode_to_vec()].concat()
}

/// Type information of nothing but pointers to nothing, the smallest of types.
fn pointers(count: u32) -> Vec<u8> {
    let mut bytes = Vec::from(0xeb9f_u16.to_ne_bytes());
    bytes.extend([1, 0]);
    for word in [24, 0, count * 12, count * 12, 0] {
        bytes.extend(word.to_ne_bytes());
    }
    for word in (0..count).flat_map(|_| [0_u32, 2 << 24, 0]) {
        bytes.extend(word.to_ne_bytes());
    }
    bytes
}

#[test]
fn the_costliest_of_large_inputs_take_no_more_memory_than_is_allowed() {
    // In a frame an empty one takes two bytes.
    let count = MAX_FRAME_BYTES / 2 - 8;
    let snapshot = MonitorMessage {
        message: Some(monitor_message::Message::Snapshot(Snapshot {
            notices: vec![Notice::default(); count],
            ..Snapshot::default()
        })),
    };
    let watch = ClientMessage {
        message: Some(client_message::Message::Watch(Watch {
            add: vec![Peer::default(); count],
            ..Watch::default()
        })),
    };
    let (snapshot, watch) = (input(&snapshot), input(&watch));
    for large in [&snapshot, &watch] {
        assert!((MAX_FRAME_BYTES - 64..=MAX_FRAME_BYTES + 6).contains(&large.len()));
    }
    obit_fuzz::monitor_message::check(&snapshot);
    obit_fuzz::client_message::check(&watch);
    // Just past the growth of a list, where it has the most room to spare.
    obit_fuzz::btf::check(&pointers((1 << 18) + 1));
}
