//! What a client sends, as the monitor reads it.

use obit_protocol::client_message::Message;
use obit_protocol::watch_service::Port;
use obit_protocol::{ClientMessage, Hello, Ping, Watch, WatchService};

use crate::frames;

/// What must hold for any bytes a client sends.
///
/// # Panics
/// When it does not hold.
pub fn check(input: &[u8]) {
    frames::check::<ClientMessage>(input, |message| match &message.message {
        Some(Message::Watch(watch)) => watch.add.iter().chain(&watch.remove).collect(),
        Some(Message::WatchService(watch)) => {
            // Whatever the names are, they are judged.
            let _ = watch.check();
            Vec::new()
        }
        Some(Message::Hello(_) | Message::Ping(_)) | None => Vec::new(),
    });
}

/// Inputs to begin with: a conversation, each of its messages, and frames that are none.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let messages = [
        Message::Hello(Hello {
            version: 1,
            name: "client".to_owned(),
        }),
        Message::Watch(Watch {
            add: frames::peers(),
            remove: frames::peers().split_off(1),
            id: u64::MAX,
        }),
        Message::Ping(Ping { token: 7 }),
        Message::WatchService(WatchService {
            id: 1,
            namespace: "shop".to_owned(),
            service: "demo-api".to_owned(),
            port: Some(Port::Name("grpc".to_owned())),
            end: false,
        }),
    ];
    frames::seeds(&messages.map(|message| ClientMessage { message: Some(message) }))
}
