//! A monitor spoken by hand: the test accepts a subscriber, reads its messages and answers each.

use std::net::SocketAddr;
use std::path::PathBuf;

use futures_util::{SinkExt, StreamExt};
use obit_protocol::{
    ClientMessage, FrameCodec, Heartbeat, Hello, MonitorMessage, Notice, PROTOCOL_VERSION, Reason, SERVICES, Snapshot,
    Verdict, Watch, WatchService, Welcome, client_message, monitor_message::Message,
};
use tempfile::TempDir;
use tokio::net::{UnixListener, UnixStream};
use tokio_util::codec::Framed;

pub const HEARTBEAT_MS: u32 = 60_000;

type Frames = Framed<UnixStream, FrameCodec<ClientMessage, MonitorMessage>>;

/// A listening monitor in a directory of its own.
pub struct FakeMonitor {
    listener: UnixListener,
    directory: TempDir,
}

impl FakeMonitor {
    pub fn start() -> Self {
        let directory = TempDir::new().unwrap();
        let listener = UnixListener::bind(directory.path().join("obit.sock")).unwrap();
        Self { listener, directory }
    }

    /// A monitor on a socket that is already bound in `directory`.
    pub fn adopt(listener: UnixListener, directory: TempDir) -> Self {
        Self { listener, directory }
    }

    pub fn path(&self) -> PathBuf {
        self.directory.path().join("obit.sock")
    }

    pub fn feed(&self) -> obit::Feed {
        obit::Feed::connect(self.path())
    }

    /// The next connection, before a word is said.
    pub async fn accept(&self) -> UnixStream {
        self.listener.accept().await.unwrap().0
    }

    /// The next subscriber, welcomed.
    pub async fn subscriber(&self, epoch: u64) -> Subscriber {
        self.subscriber_with(Welcome { epoch, ..welcome() }).await
    }

    pub async fn subscriber_with(&self, welcome: Welcome) -> Subscriber {
        let mut frames = Frames::new(self.accept().await, FrameCodec::default());
        let first = frames.next().await.expect("a greeting").unwrap();
        let Some(client_message::Message::Hello(hello)) = first.message else {
            panic!("a subscriber's first word is Hello, not {first:?}");
        };
        let mut subscriber = Subscriber { frames, hello, seq: 0 };
        subscriber.send(Message::Welcome(welcome)).await;
        subscriber
    }

    /// Ends this monitor and lets another listen at the same path, as a restart does.
    pub fn restart(self) -> Self {
        let Self { listener, directory } = self;
        drop(listener);
        std::fs::remove_file(directory.path().join("obit.sock")).unwrap();
        let listener = UnixListener::bind(directory.path().join("obit.sock")).unwrap();
        Self { listener, directory }
    }

    /// Ends this monitor; nobody listens at its path from now on. Dropping the directory removes it.
    pub fn stop(self) -> TempDir {
        self.directory
    }
}

pub fn welcome() -> Welcome {
    Welcome {
        version: PROTOCOL_VERSION,
        node: "node-1".into(),
        epoch: 1,
        signals: vec!["refused".into(), "handshake".into()],
        coverage_since_ns: 1,
        heartbeat_ms: HEARTBEAT_MS,
        capabilities: vec![SERVICES.into()],
    }
}

/// A notice about `peer`, seen by the kernel at `kernel_ns`.
pub fn verdict(peer: SocketAddr, verdict: Verdict, reason: Reason, kernel_ns: u64) -> Notice {
    Notice {
        seq: 0,
        peer: Some(peer.into()),
        verdict: verdict.into(),
        reason: reason.into(),
        evidence: 1,
        kernel_ns,
        socket_cookie: 0,
    }
}

/// The monitor's end of one subscription.
pub struct Subscriber {
    frames: Frames,
    pub hello: Hello,
    seq: u64,
}

impl Subscriber {
    pub async fn send(&mut self, message: Message) {
        self.frames
            .send(MonitorMessage { message: Some(message) })
            .await
            .unwrap();
    }

    /// The next question.
    pub async fn watch(&mut self) -> Watch {
        let message = self.frames.next().await.expect("a question").unwrap();
        match message.message {
            Some(client_message::Message::Watch(watch)) => watch,
            other => panic!("a question was expected, not {other:?}"),
        }
    }

    /// The next question about a service.
    pub async fn watch_service(&mut self) -> WatchService {
        let message = self.frames.next().await.expect("a question").unwrap();
        match message.message {
            Some(client_message::Message::WatchService(watch)) => watch,
            other => panic!("a question about a service was expected, not {other:?}"),
        }
    }

    /// Waits until the subscriber asks for `peers`, all of them, and answers with what is known of them.
    pub async fn asked_for(&mut self, peers: impl IntoIterator<Item = SocketAddr>, known: Vec<Notice>) {
        let mut missing: Vec<_> = peers.into_iter().map(obit_protocol::Peer::from).collect();
        while !missing.is_empty() {
            let watch = self.watch().await;
            missing.retain(|peer| !watch.add.contains(peer));
            let notices = known
                .iter()
                .filter(|notice| notice.peer.as_ref().is_some_and(|peer| watch.add.contains(peer)))
                .cloned()
                .collect();
            let snapshot = Snapshot {
                seq: self.seq,
                watch_id: watch.id,
                notices,
                ..Snapshot::default()
            };
            self.send(Message::Snapshot(snapshot)).await;
        }
    }

    /// Says a verdict, with the next number.
    pub async fn say(&mut self, notice: Notice) {
        self.seq += 1;
        let notice = Notice {
            seq: self.seq,
            ..notice
        };
        self.send(Message::Notice(notice)).await;
    }

    pub async fn heartbeat(&mut self) {
        let heartbeat = Heartbeat {
            seq: self.seq,
            ..Heartbeat::default()
        };
        self.send(Message::Heartbeat(heartbeat)).await;
    }

    /// Waits until the subscriber has hung up; questions in between are ignored.
    pub async fn hung_up(mut self) {
        while let Some(Ok(_)) = self.frames.next().await {}
    }

    /// The bare connection, to say something that is no message.
    pub fn into_stream(self) -> UnixStream {
        self.frames.into_inner()
    }
}
