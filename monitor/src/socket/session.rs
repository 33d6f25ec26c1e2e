//! One subscriber's session: its questions in, answers and what the reader left unwritten out.
//!
//! ```text
//! connected ──Hello──▶ welcomed ──Watch, Ping──▶ welcomed ──anything not allowed──▶ Goodbye ──▶ closed
//!     └── nothing in time, anything else ────────────────────────────────────────────▲
//! ```

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use obit_protocol::{
    ClientMessage, FrameCodec, FrameError, Goodbye, GoodbyeReason, Hello, MAX_FRAME_BYTES, MonitorMessage, Notice,
    PROTOCOL_VERSION, Peer, Pong, SERVICES, Snapshot, Watch, Welcome, client_message, monitor_message::Message,
};
use prost::Message as _;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use tokio_util::codec::Decoder;

use super::Settings;
use super::identity::Identity;
use super::services::ServiceWatches;
use super::wire::SocketWire;
use crate::clock;
use crate::hub::{CHUNK, Hub};
use crate::kubernetes::Board;
use crate::registry::{Flush, SubscriberId, Wire};
use crate::sighting::MonotonicNs;
use crate::subscribers::{Place, Roll};

/// A subscriber that has not taken this many bytes of answers is not listened to, so that its questions cost nothing.
const BACKLOG_MAX: usize = MAX_FRAME_BYTES;

/// The longest name in a `Hello`, bytes.
const NAME_MAX: usize = 128;

/// Room left in a `Snapshot`'s frame for what is around its notices, bytes.
const SNAPSHOT_MARGIN: usize = 64;

/// How long a subscriber may take to read its goodbye.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How long what a subscriber still sends is read and dropped, so that it comes to read its goodbye at all.
const LAST_EAR: Duration = Duration::from_millis(250);

/// Why a session ends.
enum End {
    /// The subscriber is gone.
    Gone,
    /// It is told to go.
    Goodbye(GoodbyeReason, String),
}

impl End {
    fn protocol(detail: impl Into<String>) -> Self {
        Self::Goodbye(GoodbyeReason::Protocol, detail.into())
    }
}

impl From<FrameError> for End {
    fn from(error: FrameError) -> Self {
        let reason = match &error {
            FrameError::TooLarge { .. } => GoodbyeReason::FrameTooLarge,
            FrameError::Malformed(_) => GoodbyeReason::Malformed,
            FrameError::Io(_) => return Self::Gone,
        };
        Self::Goodbye(reason, error.to_string())
    }
}

struct Session {
    id: SubscriberId,
    wire: Arc<SocketWire>,
    hub: Arc<Hub>,
    settings: Arc<Settings>,
    stopping: watch::Receiver<bool>,
    codec: FrameCodec<ClientMessage, MonitorMessage>,
    received: BytesMut,
    welcomed: bool,
    services: ServiceWatches,
    /// Who it is.
    place: Place,
    /// Something is left to write when the socket has room.
    behind: bool,
    /// Bytes have come since the last whole frame.
    unfinished: bool,
    /// By when a `Hello`, or the rest of a frame, must be here.
    due: Option<MonotonicNs>,
}

/// Serves one connection to its end.
pub(super) async fn run(
    stream: tokio::net::UnixStream,
    hub: Arc<Hub>,
    board: Option<Arc<Board>>,
    roll: Arc<Roll>,
    settings: Arc<Settings>,
    stopping: watch::Receiver<bool>,
) {
    let identity = Identity::of(&stream);
    let place = roll.enter(stream.as_fd());
    let wire = match SocketWire::new(stream) {
        Ok(wire) => Arc::new(wire),
        Err(error) => {
            tracing::warn!(?identity, %error, "a connection could not be served");
            return;
        }
    };
    let id = match hub.join(identity.netns, Arc::clone(&wire) as Arc<dyn Wire>) {
        Ok(id) => id,
        Err(full) => {
            tracing::warn!(?identity, "a subscriber was turned away: {full}");
            turn_away(&wire, goodbye(GoodbyeReason::TooManySubscribers, full.to_string())).await;
            return;
        }
    };
    let due = Some(clock::monotonic() + settings.patience);
    let mut session = Session {
        id,
        wire,
        hub,
        services: ServiceWatches::new(board, settings.services),
        place,
        settings,
        stopping,
        codec: FrameCodec::default(),
        received: BytesMut::new(),
        welcomed: false,
        behind: false,
        unfinished: false,
        due,
    };
    let end = match session.talk(identity).await {
        Ok(never) => match never {},
        Err(end) => end,
    };
    session.end(end).await;
}

impl Session {
    async fn talk(&mut self, identity: Identity) -> Result<Infallible, End> {
        let mut heartbeat = tokio::time::interval(self.settings.heartbeat);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.answer_all(identity).await?;
            let listening = self.listening();
            tokio::select! {
                biased;
                () = stopped(&mut self.stopping) => {
                    return Err(End::Goodbye(GoodbyeReason::Shutdown, "the monitor is ending: connect again".into()));
                }
                () = self.wire.behind.notified() => self.behind = true,
                writable = self.wire.writable(), if self.behind => {
                    writable.map_err(|_| End::Gone)?;
                    let flush = self.hub.flush(self.id, clock::monotonic());
                    self.flushed(flush)?;
                }
                _ = heartbeat.tick() => self.beat()?,
                () = self.place.changed() => self.identified(),
                // What changes meanwhile is in the set that is told when there is room.
                id = self.services.due(), if listening => self.tell_endpoints(id).await?,
                readable = self.wire.readable(), if listening => {
                    readable.map_err(|_| End::Gone)?;
                    self.receive()?;
                }
                () = late(self.due), if listening => {
                    let what = if self.welcomed { "the rest of a frame" } else { "a Hello" };
                    let detail = format!("{what} did not come within {:?}", self.settings.patience);
                    return Err(End::Goodbye(GoodbyeReason::Timeout, detail));
                }
            }
        }
    }

    /// Whether the subscriber takes its answers, so that it may ask more.
    fn listening(&self) -> bool {
        self.hub.backlog(self.id) <= BACKLOG_MAX
    }

    /// Answers every whole message received, and sets the time by which what is unfinished must be whole.
    async fn answer_all(&mut self, identity: Identity) -> Result<(), End> {
        while self.listening() {
            let Some(message) = self.codec.decode(&mut self.received)? else {
                if self.unfinished && self.due.is_none() {
                    self.due = Some(clock::monotonic() + self.settings.patience);
                }
                return Ok(());
            };
            self.answer(message, identity).await?;
            self.unfinished = !self.received.is_empty();
            self.due = None;
            // One subscriber's many questions wait for everyone else's turn.
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    fn receive(&mut self) -> Result<(), End> {
        let mut piece = [0; 4 * 1024];
        match self.wire.try_read(&mut piece) {
            Ok(0) => Err(End::Gone),
            Ok(bytes) => {
                self.received.extend_from_slice(&piece[..bytes]);
                self.unfinished = true;
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(_) => Err(End::Gone),
        }
    }

    fn flushed(&mut self, flush: Flush) -> Result<(), End> {
        self.behind = flush == Flush::Blocked;
        if flush == Flush::Broken { Err(End::Gone) } else { Ok(()) }
    }

    fn beat(&mut self) -> Result<(), End> {
        let now = clock::monotonic();
        let blocked = self.hub.blocked_for(self.id, now);
        if blocked >= self.settings.slow_reader {
            let detail = format!("nothing was read for {blocked:?}: connect again and read");
            return Err(End::Goodbye(GoodbyeReason::SlowReader, detail));
        }
        if !self.welcomed {
            return Ok(());
        }
        let flush = self.hub.beat(self.id, now);
        self.flushed(flush)
    }

    fn reply(&mut self, message: Message) -> Result<(), End> {
        let flush = self.hub.reply(self.id, message, clock::monotonic());
        self.flushed(flush)
    }

    async fn answer(&mut self, message: ClientMessage, identity: Identity) -> Result<(), End> {
        use client_message::Message::{Hello, Ping, Watch, WatchService};
        match message.message {
            Some(Hello(_)) if self.welcomed => Err(End::protocol("a second Hello")),
            Some(Hello(hello)) => self.welcome(&hello, identity),
            Some(_) if !self.welcomed => Err(End::protocol("the first message must be a Hello")),
            Some(Watch(watch)) => self.watch(&watch).await,
            Some(WatchService(watch)) => self
                .services
                .ask(&watch, &self.place)
                .map_err(|error| End::protocol(error.to_string())),
            Some(Ping(ping)) => self.reply(Message::Pong(Pong { token: ping.token })),
            None => Err(End::protocol("a message this monitor does not know")),
        }
    }

    fn welcome(&mut self, hello: &Hello, identity: Identity) -> Result<(), End> {
        if hello.version != PROTOCOL_VERSION {
            let detail = format!("this monitor speaks version {PROTOCOL_VERSION}, not {}", hello.version);
            return Err(End::Goodbye(GoodbyeReason::UnsupportedVersion, detail));
        }
        if hello.name.len() > NAME_MAX {
            return Err(End::protocol(format!("a name has {NAME_MAX} bytes at most")));
        }
        let pod = self.place.pod().map(tracing::field::display);
        let pod_uid = self.place.uid().map(tracing::field::display);
        tracing::info!(
            name = ?hello.name,
            pod,
            pod_uid,
            netns = identity.netns.map(|it| it.0),
            pid = identity.pid,
            uid = identity.uid,
            "subscribed"
        );
        self.welcomed = true;
        let heartbeat_ms = u32::try_from(self.settings.heartbeat.as_millis()).unwrap_or(u32::MAX);
        self.reply(Message::Welcome(Welcome {
            version: PROTOCOL_VERSION,
            node: self.settings.node.clone(),
            epoch: self.settings.epoch,
            signals: self.settings.signals.clone(),
            coverage_since_ns: self.hub.complete_since().0,
            heartbeat_ms,
            capabilities: vec![SERVICES.to_owned()],
        }))
    }

    /// More may be known of who it is than before.
    fn identified(&mut self) {
        if let (Some(pod), Some(pod_uid)) = (self.place.pod(), self.place.uid()) {
            tracing::info!(%pod, %pod_uid, "a subscriber's pod is known now");
        }
        self.services.review(&self.place);
    }

    /// Tells the newest set of a service, in as many frames as it takes.
    async fn tell_endpoints(&mut self, id: u64) -> Result<(), End> {
        for part in self.services.answer(id) {
            self.reply(Message::Endpoints(part))?;
            self.room().await?;
        }
        Ok(())
    }

    /// Changes what is watched, a chunk at a time, and answers with one Snapshot, or with several where one frame does not
    /// hold it. Their `seq` is that of before the first change, so that no notice sent meanwhile is taken for older news.
    async fn watch(&mut self, watch: &Watch) -> Result<(), End> {
        let (add, remove) = (addresses(&watch.add)?, addresses(&watch.remove)?);
        for chunk in remove.chunks(CHUNK) {
            self.hub.unwatch(self.id, chunk);
            tokio::task::yield_now().await;
        }
        let mut part = Snapshot {
            seq: self.hub.seq(),
            watch_id: watch.id,
            notices: vec![],
            more: false,
        };
        let mut size = SNAPSHOT_MARGIN;
        for chunk in add.chunks(CHUNK) {
            let known = self.hub.watch(self.id, chunk, clock::monotonic()).map_err(|error| {
                tracing::warn!(%error, "a subscriber asks about more peers than there is room for");
                End::Goodbye(GoodbyeReason::TooManyPeers, error.to_string())
            })?;
            for notice in known {
                let bytes = size_in_snapshot(&notice);
                if size + bytes > MAX_FRAME_BYTES {
                    let full = Snapshot {
                        more: true,
                        notices: std::mem::take(&mut part.notices),
                        ..part.clone()
                    };
                    self.reply(Message::Snapshot(full))?;
                    self.room().await?;
                    size = SNAPSHOT_MARGIN;
                }
                size += bytes;
                part.notices.push(notice);
            }
            if let Some(board) = self.services.board() {
                board.tell(&self.hub, chunk);
            }
            tokio::task::yield_now().await;
        }
        self.reply(Message::Snapshot(part))
    }

    /// Waits until the subscriber has taken most of its answers.
    async fn room(&mut self) -> Result<(), End> {
        while self.hub.backlog(self.id) > BACKLOG_MAX {
            tokio::select! {
                writable = self.wire.writable() => writable.map_err(|_| End::Gone)?,
                () = tokio::time::sleep(self.settings.slow_reader) => {
                    return Err(End::Goodbye(GoodbyeReason::SlowReader, "an answer was not read".into()));
                }
                () = stopped(&mut self.stopping) => return Err(End::Gone),
            }
            let flush = self.hub.flush(self.id, clock::monotonic());
            self.flushed(flush)?;
        }
        Ok(())
    }

    async fn end(self, end: End) {
        if let End::Goodbye(reason, detail) = end {
            tracing::info!(reason = reason.as_str_name(), detail, "goodbye");
            let mut flush = self.hub.close(self.id, goodbye(reason, detail), clock::monotonic());
            let words = async {
                while flush == Flush::Blocked && self.wire.writable().await.is_ok() {
                    flush = self.hub.flush(self.id, clock::monotonic());
                }
            };
            let told = tokio::time::timeout(LAST_WORDS, words).await.is_ok();
            self.forget().await;
            if told {
                let listen = !matches!(reason, GoodbyeReason::Shutdown | GoodbyeReason::SlowReader);
                self.wire.close(listen.then_some(LAST_EAR)).await;
            }
        } else {
            self.forget().await;
        }
    }

    /// Gives back what the subscriber watched, a chunk at a time.
    async fn forget(&self) {
        while !self.hub.leave(self.id) {
            tokio::task::yield_now().await;
        }
    }
}

/// Tells a connection that is no subscriber why.
async fn turn_away(wire: &SocketWire, goodbye: Message) {
    use tokio_util::codec::Encoder;
    let mut bytes = BytesMut::new();
    let mut codec = FrameCodec::<ClientMessage, MonitorMessage>::default();
    let message = MonitorMessage { message: Some(goodbye) };
    if codec.encode(message, &mut bytes).is_ok() && wire.writable().await.is_ok() {
        // A new socket takes so few bytes at once, or its other end is gone already.
        let _ = wire.try_write(&bytes);
        wire.close(Some(LAST_EAR)).await;
    }
}

fn goodbye(reason: GoodbyeReason, detail: String) -> Message {
    Message::Goodbye(Goodbye {
        reason: reason.into(),
        detail,
    })
}

fn addresses(peers: &[Peer]) -> Result<Vec<SocketAddr>, End> {
    let address = |peer: &Peer| SocketAddr::try_from(peer).map_err(|error| End::protocol(error.to_string()));
    peers.iter().map(address).collect()
}

/// What a notice adds to a `Snapshot`: itself, its tag and its length.
fn size_in_snapshot(notice: &Notice) -> usize {
    let bytes = notice.encoded_len();
    1 + prost::length_delimiter_len(bytes) + bytes
}

/// Ready at that time; never, if there is none.
async fn late(due: Option<MonotonicNs>) {
    match due {
        Some(due) => tokio::time::sleep(due.since(clock::monotonic())).await,
        None => std::future::pending().await,
    }
}

/// Ready once the monitor ends.
async fn stopped(stopping: &mut watch::Receiver<bool>) {
    // A server that is gone without a word has ended too.
    let _ = stopping.wait_for(|stopping| *stopping).await;
}
