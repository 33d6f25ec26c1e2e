//! A subscription as the command line holds it: one session with the monitor, message by message.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use obit_protocol::{
    ClientMessage, FrameCodec, FrameError, Hello, MonitorMessage, PROTOCOL_VERSION, Watch, Welcome, client_message,
    monitor_message::Message,
};
use tokio::net::UnixStream;
use tokio_util::codec::Framed;

/// Peers asked about in one message: well within a frame.
const PEERS_PER_WATCH: usize = 1_024;

/// A monitor that says nothing for this many heartbeats is gone.
const SILENT_HEARTBEATS: u32 = 3;

/// How long the Welcome may take.
const WELCOME_WITHIN: Duration = Duration::from_secs(5);

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum Ended {
    /// Nobody listens there.
    #[error("cannot connect")]
    Connect(#[source] io::Error),
    /// It hung up, or said something that is not a message.
    #[error("the session broke off")]
    Broken(#[from] FrameError),
    /// It closed the connection.
    #[error("the monitor hung up")]
    Closed,
    /// It said nothing for too long.
    #[error("the monitor was silent for {0:?}")]
    Silent(Duration),
    /// It said goodbye.
    #[error("the monitor said goodbye ({reason}): {detail}")]
    Goodbye {
        /// By name.
        reason: &'static str,
        /// In its words.
        detail: String,
    },
}

/// One session with a monitor.
#[derive(Debug)]
pub(super) struct Subscription {
    frames: Framed<UnixStream, FrameCodec<MonitorMessage, ClientMessage>>,
    silence: Duration,
}

impl Subscription {
    /// Connects and asks about `peers`.
    pub(super) async fn open(path: &Path, peers: &[SocketAddr]) -> Result<(Self, Welcome), Ended> {
        let stream = UnixStream::connect(path).await.map_err(Ended::Connect)?;
        let frames = Framed::new(stream, FrameCodec::default());
        let mut subscription = Self {
            frames,
            silence: WELCOME_WITHIN,
        };
        let hello = Hello {
            version: PROTOCOL_VERSION,
            name: "obit watch".into(),
        };
        subscription.say(client_message::Message::Hello(hello)).await?;
        let welcome = loop {
            if let Message::Welcome(welcome) = subscription.next().await? {
                break welcome;
            }
        };
        let heartbeat = Duration::from_millis(welcome.heartbeat_ms.into());
        if !heartbeat.is_zero() {
            subscription.silence = heartbeat * SILENT_HEARTBEATS;
        }
        for (id, chunk) in (1..).zip(peers.chunks(PEERS_PER_WATCH)) {
            let watch = Watch {
                add: chunk.iter().copied().map(Into::into).collect(),
                remove: vec![],
                id,
            };
            subscription.say(client_message::Message::Watch(watch)).await?;
        }
        Ok((subscription, welcome))
    }

    /// The next message; a goodbye is an end.
    pub(super) async fn next(&mut self) -> Result<Message, Ended> {
        loop {
            let next = tokio::time::timeout(self.silence, self.frames.next()).await;
            let message = next.map_err(|_| Ended::Silent(self.silence))?.ok_or(Ended::Closed)??;
            match message.message {
                Some(Message::Goodbye(goodbye)) => {
                    return Err(Ended::Goodbye {
                        reason: goodbye.reason().as_str_name(),
                        detail: goodbye.detail,
                    });
                }
                Some(message) => return Ok(message),
                // Of a newer monitor.
                None => {}
            }
        }
    }

    async fn say(&mut self, message: client_message::Message) -> Result<(), Ended> {
        let message = ClientMessage { message: Some(message) };
        Ok(self.frames.send(message).await?)
    }
}
