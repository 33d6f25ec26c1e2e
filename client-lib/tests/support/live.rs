//! A monitor that runs by itself: welcomes every subscriber, answers every question, says what it is told to say to
//! whoever watches.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use futures_util::{SinkExt, StreamExt};
use obit_protocol::{
    ClientMessage, FrameCodec, MonitorMessage, Notice, Reason, Snapshot, Verdict, client_message,
    monitor_message::Message,
};
use tempfile::TempDir;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{broadcast, watch};
use tokio::task::JoinHandle;
use tokio_util::codec::Framed;

use super::monitor::{verdict, welcome};
use super::sockets::monotonic_ns;

#[derive(Default)]
struct State {
    seq: u64,
    known: HashMap<SocketAddr, Notice>,
}

/// Runs until dropped.
pub struct LiveMonitor {
    directory: TempDir,
    state: Arc<Mutex<State>>,
    notices: broadcast::Sender<Notice>,
    watched: watch::Receiver<HashSet<SocketAddr>>,
    task: JoinHandle<()>,
}

impl Drop for LiveMonitor {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl LiveMonitor {
    pub fn start() -> Self {
        let directory = TempDir::new().unwrap();
        let listener = UnixListener::bind(directory.path().join("obit.sock")).unwrap();
        let state = Arc::<Mutex<State>>::default();
        let notices = broadcast::Sender::new(1_024);
        let (watching, watched) = watch::channel(HashSet::new());
        let task = tokio::spawn(accept(listener, state.clone(), notices.clone(), watching));
        Self {
            directory,
            state,
            notices,
            watched,
            task,
        }
    }

    pub fn path(&self) -> PathBuf {
        self.directory.path().join("obit.sock")
    }

    pub fn feed(&self) -> obit::Feed {
        obit::Feed::connect(self.path())
    }

    /// Waits until somebody watches `peer`: what is said from now on reaches them.
    pub async fn watching(&self, peer: SocketAddr) {
        self.watched
            .clone()
            .wait_for(|watched| watched.contains(&peer))
            .await
            .unwrap();
    }

    /// Whether somebody has watched `peer`.
    pub fn was_asked_about(&self, peer: SocketAddr) -> bool {
        self.watched.borrow().contains(&peer)
    }

    /// Says that the kernel saw this of `peer` just now.
    pub fn say(&self, peer: SocketAddr, what: Verdict, reason: Reason) {
        self.say_notice(verdict(peer, what, reason, monotonic_ns()));
    }

    /// Says that the kernel saw this of one connection to `peer` just now.
    pub fn say_of_connection(&self, peer: SocketAddr, socket_cookie: u64, what: Verdict, reason: Reason) {
        self.say_notice(Notice {
            socket_cookie,
            ..verdict(peer, what, reason, monotonic_ns())
        });
    }

    /// Says this, with the next number.
    pub fn say_notice(&self, notice: Notice) {
        let mut state = self.state.lock().unwrap();
        state.seq += 1;
        let notice = Notice {
            seq: state.seq,
            ..notice
        };
        if notice.socket_cookie == 0 {
            let peer = SocketAddr::try_from(notice.peer.as_ref().unwrap()).unwrap();
            state.known.insert(peer, notice.clone());
        }
        // Nobody listens yet: the snapshot will tell.
        _ = self.notices.send(notice);
    }
}

async fn accept(
    listener: UnixListener,
    state: Arc<Mutex<State>>,
    notices: broadcast::Sender<Notice>,
    watching: watch::Sender<HashSet<SocketAddr>>,
) {
    let watching = Arc::new(watching);
    let mut subscribers = tokio::task::JoinSet::new();
    loop {
        let stream = listener.accept().await.unwrap().0;
        subscribers.spawn(serve(stream, state.clone(), notices.subscribe(), watching.clone()));
    }
}

async fn serve(
    stream: UnixStream,
    state: Arc<Mutex<State>>,
    mut notices: broadcast::Receiver<Notice>,
    watching: Arc<watch::Sender<HashSet<SocketAddr>>>,
) {
    let mut frames = Framed::new(stream, FrameCodec::<ClientMessage, MonitorMessage>::default());
    let mut watched = HashSet::new();
    loop {
        let answer = tokio::select! {
            message = frames.next() => match message {
                Some(Ok(message)) => answer(message, &state, &mut watched),
                _ => return,
            },
            notice = notices.recv() => {
                let notice = notice.unwrap();
                let peer = SocketAddr::try_from(notice.peer.as_ref().unwrap()).unwrap();
                watched.contains(&peer).then_some(Message::Notice(notice))
            }
        };
        if let Some(message) = answer
            && frames.send(MonitorMessage { message: Some(message) }).await.is_err()
        {
            return;
        }
        watching.send_modify(|all| all.extend(&watched));
    }
}

fn answer(message: ClientMessage, state: &Mutex<State>, watched: &mut HashSet<SocketAddr>) -> Option<Message> {
    match message.message? {
        client_message::Message::Hello(_) => Some(Message::Welcome(welcome())),
        client_message::Message::Watch(watch) => {
            let peers = |peers: &[obit_protocol::Peer]| -> Vec<SocketAddr> {
                peers.iter().map(|peer| SocketAddr::try_from(peer).unwrap()).collect()
            };
            for peer in peers(&watch.remove) {
                watched.remove(&peer);
            }
            let added = peers(&watch.add);
            watched.extend(&added);
            let state = state.lock().unwrap();
            Some(Message::Snapshot(Snapshot {
                seq: state.seq,
                watch_id: watch.id,
                notices: added.iter().filter_map(|peer| state.known.get(peer).cloned()).collect(),
                ..Snapshot::default()
            }))
        }
        client_message::Message::WatchService(watch) => (!watch.end).then(|| {
            Message::Endpoints(obit_protocol::Endpoints {
                id: watch.id,
                revision: 1,
                error: obit_protocol::EndpointsError::NoKubernetes.into(),
                detail: "this monitor does not watch Kubernetes".into(),
                ..obit_protocol::Endpoints::default()
            })
        }),
        client_message::Message::Ping(ping) => Some(Message::Pong(obit_protocol::Pong { token: ping.token })),
    }
}
