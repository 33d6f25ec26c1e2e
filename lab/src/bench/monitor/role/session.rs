//! A subscriber's session with the monitor, message by message: what a client library in any language does, and nothing
//! that would hide what the monitor says or when.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use futures_util::{SinkExt as _, StreamExt as _};
use obit_protocol::monitor_message::Message;
use obit_protocol::{
    ClientMessage, FrameCodec, Hello, MonitorMessage, Notice, PROTOCOL_VERSION, Verdict, Watch, client_message,
};
use tokio::net::UnixStream;
use tokio_util::codec::Framed;

use crate::clock::monotonic_ns;

/// Peers asked about in one message: well within a frame.
const PEERS_PER_WATCH: usize = 1_024;

/// How long the monitor may be silent: it sends a heartbeat every second.
const PATIENCE: Duration = Duration::from_secs(20);

/// When a verdict came.
#[derive(Debug, Clone, Copy)]
pub(super) struct Told {
    /// When the kernel saw what it follows from, or when a dial's time was up.
    pub(super) kernel_ns: u64,
    /// When the subscriber had it in hand.
    pub(super) handled_ns: u64,
}

impl Told {
    /// From the one to the other, nanoseconds.
    pub(super) fn late_ns(self) -> u64 {
        self.handled_ns.saturating_sub(self.kernel_ns)
    }
}

/// One session.
#[derive(Debug)]
pub(super) struct Session(Framed<UnixStream, FrameCodec<MonitorMessage, ClientMessage>>);

impl Session {
    /// Connects and is welcomed.
    pub(super) async fn open(socket: &Path) -> anyhow::Result<Self> {
        let stream = UnixStream::connect(socket)
            .await
            .with_context(|| format!("connect to {}", socket.display()))?;
        let mut session = Self(Framed::new(stream, FrameCodec::default()));
        let hello = Hello {
            version: PROTOCOL_VERSION,
            name: "obit-lab bench".into(),
        };
        session.say(client_message::Message::Hello(hello)).await?;
        match session.next().await? {
            Message::Welcome(_) => Ok(session),
            other => bail!("instead of a Welcome the monitor said {other:?}"),
        }
    }

    /// Asks about `peers` and waits for all the answers: what is known of them.
    pub(super) async fn watch(&mut self, peers: &[SocketAddr]) -> anyhow::Result<Vec<Notice>> {
        let mut known = Vec::new();
        for (id, chunk) in (1..).zip(peers.chunks(PEERS_PER_WATCH)) {
            let watch = Watch {
                add: chunk.iter().copied().map(Into::into).collect(),
                remove: vec![],
                id,
            };
            self.say(client_message::Message::Watch(watch)).await?;
            loop {
                match self.next().await? {
                    Message::Snapshot(snapshot) => {
                        let is_last = !snapshot.more;
                        known.extend(snapshot.notices);
                        if is_last {
                            break;
                        }
                    }
                    Message::Notice(notice) => known.push(notice),
                    _ => {}
                }
            }
        }
        Ok(known)
    }

    /// The next message; a monitor that says goodbye is an error.
    pub(super) async fn next(&mut self) -> anyhow::Result<Message> {
        loop {
            let next = tokio::time::timeout(PATIENCE, self.0.next()).await;
            let message = next
                .context("the monitor is silent")?
                .context("the monitor hung up")??;
            match message.message {
                Some(Message::Goodbye(goodbye)) => bail!("the monitor said goodbye: {}", goodbye.detail),
                Some(message) => return Ok(message),
                None => {}
            }
        }
    }

    /// Waits for the first of `verdicts` about the peer itself; `None` if it does not come in time.
    pub(super) async fn told(
        &mut self,
        peer: SocketAddr,
        verdicts: &[Verdict],
        patience: Duration,
    ) -> anyhow::Result<Option<Told>> {
        let waiting = async {
            loop {
                let message = self.next().await?;
                let handled_ns = monotonic_ns();
                if let Message::Notice(notice) = message
                    && notice.socket_cookie == 0
                    && verdicts.contains(&notice.verdict())
                    && peer_of(&notice)? == peer
                {
                    let kernel_ns = notice.kernel_ns;
                    return anyhow::Ok(Told { kernel_ns, handled_ns });
                }
            }
        };
        tokio::time::timeout(patience, waiting).await.ok().transpose()
    }

    /// Goes on reading for a while: a subscriber that does not read is told nothing.
    pub(super) async fn listen_during(&mut self, pause: Duration) -> anyhow::Result<()> {
        let reading = async {
            loop {
                self.next().await?;
            }
        };
        tokio::time::timeout(pause, reading).await.unwrap_or(Ok(()))
    }

    async fn say(&mut self, message: client_message::Message) -> anyhow::Result<()> {
        let message = ClientMessage { message: Some(message) };
        self.0.send(message).await.context("speak to the monitor")
    }
}

/// The peer a notice is about.
pub(super) fn peer_of(notice: &Notice) -> anyhow::Result<SocketAddr> {
    let peer = notice.peer.as_ref().context("a notice about nobody")?;
    SocketAddr::try_from(peer).context("a notice about no peer")
}
