//! The bytes that docs/protocol.md shows are the bytes on the wire.

use std::net::SocketAddr;

use bytes::BytesMut;
use obit_protocol::{
    ClientMessage, FrameCodec, Hello, MonitorMessage, Notice, Reason, Verdict, client_message, monitor_message,
};
use tokio_util::codec::Encoder;

/// The bytes of the n-th example on the page: the two-digit words of its first line.
fn example(n: usize) -> Vec<u8> {
    let page = include_str!("../../docs/protocol.md");
    let block = page.split("```text\n").nth(n).expect("the page has this example");
    let line = block.lines().next().unwrap_or_default();
    let byte = |word: &str| u8::from_str_radix(word, 16).expect("a byte");
    line.split_whitespace().map(byte).collect()
}

#[test]
fn the_hello_on_the_page_is_a_hello() {
    let hello = Hello {
        version: 1,
        name: "demo".into(),
    };
    let message = ClientMessage {
        message: Some(client_message::Message::Hello(hello)),
    };
    let mut bytes = BytesMut::new();
    FrameCodec::<ClientMessage, ClientMessage>::default()
        .encode(message, &mut bytes)
        .unwrap();
    assert_eq!(bytes, example(1));
}

#[test]
fn the_notice_on_the_page_is_a_notice() {
    let peer: SocketAddr = "198.18.0.2:8080".parse().unwrap();
    let notice = Notice {
        seq: 1,
        peer: Some(peer.into()),
        verdict: Verdict::Dead.into(),
        reason: Reason::Refused.into(),
        evidence: 1,
        kernel_ns: 1_000_000_000,
        socket_cookie: 0,
    };
    let message = MonitorMessage {
        message: Some(monitor_message::Message::Notice(notice)),
    };
    let mut bytes = BytesMut::new();
    FrameCodec::<MonitorMessage, MonitorMessage>::default()
        .encode(message, &mut bytes)
        .unwrap();
    assert_eq!(bytes, example(2));
}
