//! A monitor in this process over a real unix socket, with sightings put in by hand, and a client to talk to it.
#![allow(dead_code, reason = "every test file uses its own part of this")]
#![allow(clippy::unwrap_used, reason = "support of tests: what fails here fails the test")]

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use obit_monitor::clock;
use obit_monitor::hub::{Filter, Hub};
use obit_monitor::kernel::netns_cookie;
use obit_monitor::kubernetes::Board;
use obit_monitor::reader::{Look, Opened, ReaderThread, Records, Source, Wait};
use obit_monitor::registry::Limits;
use obit_monitor::sighting::{MonotonicNs, NetnsCookie, Observation, Sighting, SocketCookie};
use obit_monitor::socket::{self, Settings};
use obit_monitor::stall::Bounds;
use obit_monitor::subscribers::Roll;
use obit_protocol::{
    ClientMessage, FrameCodec, Goodbye, GoodbyeReason, Hello, MonitorMessage, Notice, Snapshot, Watch, Welcome,
    client_message, monitor_message::Message,
};
use tokio::net::UnixStream;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::codec::Framed;

/// Nothing here takes this long unless it never comes.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) const EPOCH: u64 = 0xe0;

/// A monitor and the strings it hangs on.
pub(crate) struct Monitor {
    pub(crate) path: PathBuf,
    pub(crate) hub: Arc<Hub>,
    pub(crate) filter: Addresses,
    pub(crate) lost: Arc<AtomicU64>,
    pub(crate) board: Option<Arc<Board>>,
    pub(crate) roll: Arc<Roll>,
    sightings: mpsc::UnboundedSender<Sighting>,
    news: Arc<Notify>,
    stop: Option<oneshot::Sender<()>>,
    server: JoinHandle<()>,
    _reader: ReaderThread,
}

/// How a monitor is set up; short times, so that tests need not wait.
pub(crate) struct Setup {
    pub(crate) limits: Limits,
    pub(crate) settings: Settings,
    pub(crate) filter_room: usize,
    /// What is known of Kubernetes; `None`: it is not watched.
    pub(crate) board: Option<Arc<Board>>,
    /// Who may ask what.
    pub(crate) roll: Arc<Roll>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            settings: Settings {
                node: "node-a".into(),
                epoch: EPOCH,
                signals: vec!["refused".into(), "handshake".into()],
                heartbeat: Duration::from_millis(50),
                patience: Duration::from_millis(200),
                slow_reader: Duration::from_millis(300),
                services: 4,
            },
            filter_room: 65_536,
            board: None,
            roll: Arc::new(Roll::new(None, None)),
        }
    }
}

impl Monitor {
    pub(crate) fn start(path: &Path) -> Self {
        Self::start_with(path, Setup::default())
    }

    pub(crate) fn start_with(path: &Path, setup: Setup) -> Self {
        let filter = Addresses {
            watched: Arc::default(),
            room: setup.filter_room,
        };
        let hub = Arc::new(Hub::new(setup.limits, Box::new(filter.clone()), clock::monotonic()));
        let (sightings, injected) = mpsc::unbounded_channel();
        let lost = Arc::new(AtomicU64::new(0));
        let news = Arc::new(Notify::new());
        let source = Injected {
            records: InjectedRecords {
                sightings: injected,
                lost: Arc::clone(&lost),
            },
            news: Arc::clone(&news),
        };
        let reader = ReaderThread::spawn(source, Arc::clone(&hub), Bounds::default()).unwrap();
        let (listener, file) = socket::bind(path, setup.settings.epoch).unwrap();
        let (stop, stopped) = oneshot::channel();
        let serving = Arc::clone(&hub);
        let (board, roll) = (setup.board.clone(), Arc::clone(&setup.roll));
        let server = tokio::spawn(async move {
            let stopped = async { stopped.await.unwrap_or_default() };
            socket::serve(listener, serving, board, roll, setup.settings, stopped).await;
            drop(file);
        });
        Self {
            path: path.to_owned(),
            hub,
            filter,
            lost,
            board: setup.board,
            roll: setup.roll,
            sightings,
            news,
            stop: Some(stop),
            server,
            _reader: reader,
        }
    }

    /// Ends the monitor as SIGTERM does.
    pub(crate) async fn stop(mut self) {
        self.stop.take().unwrap().send(()).unwrap();
        tokio::time::timeout(PATIENCE, self.server).await.unwrap().unwrap();
    }

    /// Something is seen now.
    pub(crate) fn see(&self, netns: NetnsCookie, socket: u64, peer: SocketAddr, what: Observation) -> MonotonicNs {
        let at = clock::monotonic();
        let socket = SocketCookie(socket);
        let sighting = Sighting {
            in_user_ns: false,
            at,
            netns,
            socket,
            peer,
            what,
        };
        self.sightings.send(sighting).unwrap();
        self.news.notify_one();
        at
    }

    /// A dial from this process's own namespace is refused now.
    pub(crate) fn refused(&self, peer: SocketAddr) -> MonotonicNs {
        self.see(own(), 1, peer, Observation::Refused)
    }

    /// A connection from this process's own namespace is reset now.
    pub(crate) fn reset(&self, socket: u64, peer: SocketAddr) -> MonotonicNs {
        self.see(own(), socket, peer, Observation::Reset)
    }

    /// A dial from this process's own namespace is answered now.
    pub(crate) fn answered(&self, peer: SocketAddr) -> MonotonicNs {
        let rtt = Duration::from_micros(50);
        self.see(own(), 2, peer, Observation::Handshake { rtt })
    }
}

/// This process's own network namespace.
pub(crate) fn own() -> NetnsCookie {
    netns_cookie(None).unwrap()
}

/// A namespace that is not this process's.
pub(crate) fn another() -> NetnsCookie {
    NetnsCookie(own().0 ^ (1 << 60))
}

pub(crate) fn peer(n: u32) -> SocketAddr {
    SocketAddr::new(IpAddr::from((0xc612_0000 + n).to_be_bytes()), 8080)
}

/// The addresses the kernel would look at.
#[derive(Clone)]
pub(crate) struct Addresses {
    pub(crate) watched: Arc<Mutex<BTreeSet<IpAddr>>>,
    room: usize,
}

impl Addresses {
    pub(crate) fn len(&self) -> usize {
        self.watched.lock().unwrap().len()
    }
}

impl Filter for Addresses {
    fn insert(&mut self, ip: IpAddr) -> io::Result<()> {
        let mut watched = self.watched.lock().unwrap();
        if watched.len() >= self.room {
            return Err(io::Error::new(io::ErrorKind::QuotaExceeded, "the watch filter is full"));
        }
        assert!(watched.insert(ip), "{ip} is put in twice");
        Ok(())
    }

    fn remove(&mut self, ip: IpAddr) -> io::Result<()> {
        assert!(self.watched.lock().unwrap().remove(&ip), "{ip} is not there");
        Ok(())
    }
}

/// Sightings put in by hand, and word of each.
struct Injected {
    records: InjectedRecords,
    news: Arc<Notify>,
}

struct InjectedRecords {
    sightings: mpsc::UnboundedReceiver<Sighting>,
    lost: Arc<AtomicU64>,
}

struct InjectedWait(Arc<Notify>);

impl Source for Injected {
    type Records = InjectedRecords;
    type Wait = InjectedWait;

    fn open(self) -> io::Result<Opened<InjectedRecords, InjectedWait>> {
        Ok(Opened {
            records: self.records,
            wait: InjectedWait(self.news),
            doorbells: Vec::new(),
        })
    }
}

impl Records for InjectedRecords {
    fn take(&mut self, into: &mut Vec<Sighting>) -> bool {
        let before = into.len();
        while let Ok(sighting) = self.sightings.try_recv() {
            into.push(sighting);
        }
        into.len() > before
    }

    fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    fn left_out(&self) -> u64 {
        0
    }
}

impl Wait for InjectedWait {
    async fn wait(&mut self, look: &dyn Look) -> io::Result<()> {
        loop {
            let now = clock::monotonic();
            look.look();
            let at = look.deadline().at;
            if at <= now {
                return Ok(());
            }
            tokio::select! {
                () = self.0.notified() => {}
                () = tokio::time::sleep(at.since(now)) => {}
            }
        }
    }
}

/// A client that speaks the protocol, or anything else.
pub(crate) struct Client {
    pub(crate) frames: Framed<UnixStream, FrameCodec<MonitorMessage, ClientMessage>>,
}

impl Client {
    pub(crate) async fn connect(path: &Path) -> Self {
        let stream = UnixStream::connect(path).await.unwrap();
        Self {
            frames: Framed::new(stream, FrameCodec::default()),
        }
    }

    /// Connected and welcomed.
    pub(crate) async fn welcomed(path: &Path) -> (Self, Welcome) {
        let mut client = Self::connect(path).await;
        client.say(hello()).await;
        match client.next().await {
            Message::Welcome(welcome) => (client, welcome),
            other => panic!("instead of a Welcome: {other:?}"),
        }
    }

    /// Connected, welcomed and told what is known of these peers.
    pub(crate) async fn watching(path: &Path, peers: &[SocketAddr]) -> Self {
        let (mut client, _) = Self::welcomed(path).await;
        client.watch(1, peers).await;
        client.snapshot().await;
        client
    }

    pub(crate) async fn say(&mut self, message: client_message::Message) {
        let message = ClientMessage { message: Some(message) };
        self.frames.send(message).await.unwrap();
    }

    pub(crate) async fn watch(&mut self, id: u64, peers: &[SocketAddr]) {
        let add = peers.iter().copied().map(Into::into).collect();
        self.say(client_message::Message::Watch(Watch {
            add,
            remove: vec![],
            id,
        }))
        .await;
    }

    pub(crate) async fn unwatch(&mut self, id: u64, peers: &[SocketAddr]) {
        let remove = peers.iter().copied().map(Into::into).collect();
        self.say(client_message::Message::Watch(Watch {
            add: vec![],
            remove,
            id,
        }))
        .await;
    }

    /// The next message, whatever it is.
    pub(crate) async fn any(&mut self) -> Option<Message> {
        let next = tokio::time::timeout(PATIENCE, self.frames.next())
            .await
            .expect("nothing came");
        next.and_then(|message| message.unwrap().message)
    }

    /// The next message that is not a heartbeat.
    pub(crate) async fn next(&mut self) -> Message {
        loop {
            match self.any().await.expect("the monitor hung up") {
                Message::Heartbeat(_) => {}
                message => return message,
            }
        }
    }

    pub(crate) async fn snapshot(&mut self) -> Snapshot {
        match self.next().await {
            Message::Snapshot(snapshot) => snapshot,
            other => panic!("instead of a Snapshot: {other:?}"),
        }
    }

    pub(crate) async fn notice(&mut self) -> Notice {
        match self.next().await {
            Message::Notice(notice) => notice,
            other => panic!("instead of a Notice: {other:?}"),
        }
    }

    /// The goodbye, which is the last word.
    pub(crate) async fn goodbye(&mut self) -> (GoodbyeReason, String) {
        let goodbye: Goodbye = match self.next().await {
            Message::Goodbye(goodbye) => goodbye,
            other => panic!("instead of a Goodbye: {other:?}"),
        };
        let last = tokio::time::timeout(PATIENCE, self.frames.next())
            .await
            .expect("the connection stays open");
        assert!(!matches!(last, Some(Ok(_))), "after the goodbye: {last:?}");
        (goodbye.reason(), goodbye.detail)
    }
}

pub(crate) fn hello() -> client_message::Message {
    client_message::Message::Hello(Hello {
        version: obit_protocol::PROTOCOL_VERSION,
        name: "test".into(),
    })
}
