//! What the monitor sends, as a client reads it.

use obit_protocol::monitor_message::Message;
use obit_protocol::{
    Endpoint, Endpoints, EndpointsError, Goodbye, GoodbyeReason, Heartbeat, MonitorMessage, Notice, Peer, Pong, Reason,
    Snapshot, Verdict, Welcome,
};

use crate::frames;

/// What must hold for any bytes a monitor sends.
///
/// # Panics
/// When it does not hold.
pub fn check(input: &[u8]) {
    frames::check::<MonitorMessage>(input, |message| match &message.message {
        Some(Message::Snapshot(snapshot)) => snapshot
            .notices
            .iter()
            .filter_map(|notice| notice.peer.as_ref())
            .collect(),
        Some(Message::Notice(notice)) => notice.peer.iter().collect(),
        Some(Message::Endpoints(set)) => set
            .endpoints
            .iter()
            .filter_map(|endpoint| endpoint.peer.as_ref())
            .collect(),
        _ => Vec::new(),
    });
}

/// Inputs to begin with: a conversation, each of its messages, and frames that are none.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let messages = [
        Message::Welcome(Welcome {
            version: 1,
            node: "node".to_owned(),
            epoch: u64::MAX,
            signals: ["refused", "handshake"].map(str::to_owned).to_vec(),
            coverage_since_ns: 1,
            heartbeat_ms: 1_000,
            capabilities: vec!["services".to_owned()],
        }),
        Message::Snapshot(Snapshot {
            seq: 3,
            watch_id: 9,
            notices: frames::peers().into_iter().map(notice).collect(),
            more: true,
        }),
        Message::Notice(notice(frames::peers().remove(0))),
        Message::Heartbeat(Heartbeat {
            seq: 4,
            lost: 5,
            blind_since_ns: 6,
            node_suspect_since_ns: 7,
        }),
        Message::Pong(Pong { token: 7 }),
        Message::Endpoints(Endpoints {
            id: 1,
            revision: 2,
            endpoints: frames::peers().into_iter().map(endpoint).collect(),
            more: true,
            stale_since_ns: 3,
            error: EndpointsError::Unavailable.into(),
            detail: "the API has not answered yet".to_owned(),
        }),
        Message::Goodbye(Goodbye {
            reason: GoodbyeReason::Shutdown.into(),
            detail: "the monitor is ending".to_owned(),
        }),
    ];
    frames::seeds(&messages.map(|message| MonitorMessage { message: Some(message) }))
}

fn endpoint(peer: Peer) -> Endpoint {
    Endpoint {
        peer: Some(peer),
        zone: "a".to_owned(),
        ready: true,
        serving: true,
        terminating: true,
        for_zones: vec!["a".to_owned(), "b".to_owned()],
    }
}

fn notice(peer: Peer) -> Notice {
    Notice {
        seq: 3,
        peer: Some(peer),
        verdict: Verdict::Dead.into(),
        reason: Reason::Refused.into(),
        evidence: 2,
        kernel_ns: 1_000_000,
        socket_cookie: 4_097,
    }
}
