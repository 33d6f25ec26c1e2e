//! The feed's task: the shell around [`State`]. Reaches the monitor, speaks the protocol, carries what it hears to the
//! health map, and comes back after every loss.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use obit_protocol::{
    ClientMessage, FrameCodec, FrameError, Goodbye, GoodbyeReason, Heartbeat, Hello, MonitorMessage, PROTOCOL_VERSION,
    SERVICES, Welcome, client_message, monitor_message::Message,
};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::codec::{FramedRead, FramedWrite};

use super::builder::FeedBuilder;
use super::services::Services;
use super::state::{MAX_WATCHED_PEERS, State, Violation};
use super::status::FeedStatus;
use super::table::{Interest, Table};
use crate::backoff::Backoff;
use crate::clock;

/// Intervals without any message after which a monitor counts as gone.
const SILENT_HEARTBEATS: u32 = 3;

/// What a `Welcome` without an interval is taken to mean.
const DEFAULT_HEARTBEAT: Duration = Duration::from_secs(1);

/// No monitor may keep a client waiting longer than this for its next word, whatever it announces.
const MAX_HEARTBEAT: Duration = Duration::from_secs(60);

/// The longest name a monitor takes, in bytes.
const MAX_NAME_BYTES: usize = 128;

type Reader = FramedRead<OwnedReadHalf, FrameCodec<MonitorMessage, ClientMessage>>;
type Writer = FramedWrite<OwnedWriteHalf, FrameCodec<MonitorMessage, ClientMessage>>;

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error("it cannot be reached: {0}")]
    Unreachable(io::Error),
    #[error("it did not answer the greeting within {0:?}")]
    NoWelcome(Duration),
    #[error("it speaks version {0} of the protocol, this client {PROTOCOL_VERSION}")]
    Version(u32),
    #[error("it closed the connection")]
    Closed,
    #[error("it said nothing for {0:?}")]
    Silent(Duration),
    #[error("it said goodbye ({reason:?}): {detail}")]
    Goodbye { reason: GoodbyeReason, detail: String },
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("it broke the protocol: {0}")]
    Violation(#[from] Violation),
}

impl From<Goodbye> for End {
    fn from(goodbye: Goodbye) -> Self {
        Self::Goodbye {
            reason: goodbye.reason(),
            detail: goodbye.detail,
        }
    }
}

/// Keeps the subscription until the task is aborted.
pub(super) async fn run(table: Arc<Table>, settings: FeedBuilder) -> Infallible {
    let mut task = Task {
        table,
        state: State::new(MAX_WATCHED_PEERS),
        services: Services::default(),
        backoff: Backoff::new(settings.reconnect_min, settings.reconnect_max),
        settings,
    };
    // The first failure is told too: a process that begins blind should say so.
    let mut told_blind = false;
    loop {
        let (end, was_connected) = task.session().await;
        if was_connected || !told_blind {
            let path = task.settings.path.display();
            tracing::warn!(monitor = %path, "blind to the deaths of peers, working from own evidence: the monitor is lost: {end}");
            told_blind = true;
        } else {
            tracing::debug!("the monitor is still lost: {end}");
        }
        sleep(task.backoff.pause(fastrand::f64())).await;
    }
}

struct Task {
    table: Arc<Table>,
    state: State,
    services: Services,
    backoff: Backoff,
    settings: FeedBuilder,
}

impl Task {
    /// One connection to a monitor, from the attempt to its end. Also returns whether the monitor had answered.
    async fn session(&mut self) -> (End, bool) {
        let answer_timeout = self.settings.answer_timeout;
        let greeted = timeout(answer_timeout, greet(&self.settings)).await;
        let (welcome, reader, writer) = match greeted.unwrap_or(Err(End::NoWelcome(answer_timeout))) {
            Ok(greeted) => greeted,
            Err(end) => {
                // Keeps the table free of peers that came and went while there was nobody to ask.
                self.note_interest();
                return (end, false);
            }
        };
        let began = clock::now();
        self.connected(&welcome);
        let end = match self.converse(&welcome, reader, writer).await {
            Err(end) => end,
            Ok(never) => match never {},
        };
        let now = clock::now();
        self.disconnected(now);
        // A monitor that hangs up on us at once must not be asked at the shortest pause for ever.
        if now - began >= self.settings.reconnect_max {
            self.backoff.reset();
        }
        (end, true)
    }

    fn connected(&self, welcome: &Welcome) {
        let Welcome { epoch, node, .. } = welcome;
        tracing::info!(%node, epoch, "the monitor is heard");
        self.table.status().send_replace(FeedStatus::Connected {
            epoch: *epoch,
            node: node.as_str().into(),
            signals: welcome.signals.as_slice().into(),
            losing: false,
            node_suspect: false,
        });
    }

    fn disconnected(&mut self, now: Instant) {
        self.state.close();
        self.services.close();
        self.table.status().send_replace(FeedStatus::Blind { since: now });
        self.table.forget_all(now);
    }

    async fn converse(&mut self, welcome: &Welcome, mut reader: Reader, mut writer: Writer) -> Result<Infallible, End> {
        let patience = patience(welcome);
        self.services
            .open(welcome.capabilities.iter().any(|capability| capability == SERVICES));
        let mut heard = clock::now();
        let silence = sleep_until(heard + patience);
        tokio::pin!(silence);
        let mut unsent = self.ask(&mut writer).await?;
        loop {
            // A monitor that does not read must not keep us from hearing it, so that flushing is one branch of many.
            tokio::select! {
                message = reader.next() => {
                    // First of all: everything else can wait, a death cannot.
                    self.hear(message.ok_or(End::Closed)??)?;
                    heard = clock::now();
                }
                flushed = writer.flush(), if unsent => {
                    flushed?;
                    unsent = false;
                }
                () = self.table.changed() => unsent |= self.ask(&mut writer).await?,
                () = &mut silence => {
                    let due = heard + patience;
                    if clock::now() >= due {
                        return Err(End::Silent(patience));
                    }
                    silence.as_mut().reset(due);
                }
            }
        }
    }

    /// Buffers what there is to ask; returns whether there is something to flush.
    async fn ask(&mut self, writer: &mut Writer) -> Result<bool, End> {
        self.note_interest();
        let peers = self.state.requests().into_iter().map(client_message::Message::Watch);
        let (services, refused) = self.services.requests();
        for (service, state) in refused {
            self.table.apply_service(&service, state);
        }
        let mut any = false;
        for question in peers.chain(services.into_iter().map(client_message::Message::WatchService)) {
            writer.feed(message(question)).await?;
            any = true;
        }
        Ok(any)
    }

    fn note_interest(&mut self) {
        for (peer, interest) in self.table.take_changes() {
            match interest {
                Interest::Wanted => self.state.want(peer),
                Interest::Dropped => self.state.unwant(peer),
            }
        }
        for (service, interest) in self.table.take_service_changes() {
            match interest {
                Interest::Wanted => self.services.want(service),
                Interest::Dropped => self.services.unwant(&service),
            }
        }
    }

    fn hear(&mut self, message: MonitorMessage) -> Result<(), End> {
        match message.message {
            Some(Message::Notice(notice)) => {
                if let Some(change) = self.state.notice(&notice)? {
                    self.table.apply(&change, clock::now());
                }
            }
            Some(Message::Snapshot(snapshot)) => {
                let now = clock::now();
                for change in self.state.snapshot(&snapshot)? {
                    self.table.apply(&change, now);
                }
            }
            Some(Message::Endpoints(endpoints)) => {
                if let Some((service, state)) = self.services.heard(endpoints)? {
                    self.table.apply_service(&service, state);
                }
            }
            Some(Message::Heartbeat(heartbeat)) => self.note_trouble(heartbeat),
            Some(Message::Goodbye(goodbye)) => return Err(goodbye.into()),
            Some(Message::Welcome(_)) => return Err(Violation::OutOfTurn.into()),
            // Something a newer monitor says.
            Some(Message::Pong(_)) | None => {}
        }
        Ok(())
    }

    fn note_trouble(&self, heartbeat: Heartbeat) {
        self.table.status().send_if_modified(|status| {
            let FeedStatus::Connected {
                losing, node_suspect, ..
            } = status
            else {
                return false;
            };
            let before = (*losing, *node_suspect);
            let now = (heartbeat.blind_since_ns != 0, heartbeat.node_suspect_since_ns != 0);
            (*losing, *node_suspect) = now;
            if now.1 != before.1 {
                tracing::warn!(
                    node_suspect = now.1,
                    "most peers fell silent at once: the fault may be on this side"
                );
            }
            now != before
        });
    }
}

async fn greet(settings: &FeedBuilder) -> Result<(Welcome, Reader, Writer), End> {
    let stream = UnixStream::connect(&settings.path).await.map_err(End::Unreachable)?;
    let (read, write) = stream.into_split();
    let mut reader = FramedRead::new(read, FrameCodec::default());
    let mut writer = FramedWrite::new(write, FrameCodec::default());
    // Even large sets of peers stay in the buffer until the monitor reads them: `feed` never waits for it.
    writer.set_backpressure_boundary(usize::MAX);
    let hello = Hello {
        version: PROTOCOL_VERSION,
        name: cut(&settings.name, MAX_NAME_BYTES).to_owned(),
    };
    writer.send(message(client_message::Message::Hello(hello))).await?;
    let first: MonitorMessage = reader.next().await.ok_or(End::Closed)??;
    match first.message {
        Some(Message::Welcome(welcome)) if welcome.version == PROTOCOL_VERSION => Ok((welcome, reader, writer)),
        Some(Message::Welcome(welcome)) => Err(End::Version(welcome.version)),
        Some(Message::Goodbye(goodbye)) => Err(goodbye.into()),
        _ => Err(Violation::OutOfTurn.into()),
    }
}

fn message(message: client_message::Message) -> ClientMessage {
    ClientMessage { message: Some(message) }
}

/// How long the monitor may be silent.
fn patience(welcome: &Welcome) -> Duration {
    let heartbeat = match welcome.heartbeat_ms {
        0 => DEFAULT_HEARTBEAT,
        ms => Duration::from_millis(ms.into()).min(MAX_HEARTBEAT),
    };
    heartbeat * SILENT_HEARTBEATS
}

/// At most `bytes` of `text`, whole characters.
fn cut(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_name_is_cut_between_characters() {
        assert_eq!(cut("obit", 128), "obit");
        assert_eq!(cut("äää", 5), "ää");
    }

    #[test]
    fn three_heartbeats_of_silence_are_a_loss_and_an_absurd_interval_is_bounded() {
        let welcome = |heartbeat_ms| Welcome {
            heartbeat_ms,
            ..Welcome::default()
        };
        assert_eq!(patience(&welcome(500)), Duration::from_millis(1_500));
        assert_eq!(patience(&welcome(0)), Duration::from_secs(3));
        assert_eq!(patience(&welcome(u32::MAX)), Duration::from_secs(180));
    }
}
