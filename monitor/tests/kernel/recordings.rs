//! Incidents, made for real and recorded: replaying a recording tells again what subscribers were told then.
//!
//! With `OBIT_RECORD=1` in the environment the recordings are put where the tests of `obit replay` find them
//! (`tests/recordings`), in the place of those of the last time; then their verdicts must be blessed anew.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use bytes::BytesMut;
use obit_monitor::clock::monotonic;
use obit_monitor::hub::Hub;
use obit_monitor::kernel::{Options, start};
use obit_monitor::reader::ReaderThread;
use obit_monitor::record::decode::decode;
use obit_monitor::record::format::{FORMAT, Header, Magic, Why};
use obit_monitor::record::replay::{News, Replay};
use obit_monitor::record::writer::{Existing, Target, Writer};
use obit_monitor::registry::{Limits, Wire};
use obit_monitor::sighting::NetnsCookie;
use obit_monitor::stall::Bounds;
use obit_protocol::{FrameCodec, MonitorMessage, Notice, Reason, Verdict, monitor_message::Message};
use socket2::Socket;
use tokio_util::codec::Decoder;

use crate::place::Place;
use crate::watcher::{begin_dial, dial};

/// An address of the places here that is not loopback, so that it means the same everywhere.
const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 18, 8, 1));

/// The one peer.
const PEER: SocketAddr = SocketAddr::new(ADDRESS, 4_040);

/// Lets nothing through to the peer, and says nothing.
const SILENCE: &str = "ip daddr 198.18.8.1 drop";

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(20);

type Told = (Option<NetnsCookie>, Notice);

fn a_place() -> Place {
    Place::with_address(ADDRESS)
}

/// A subscriber that tells the test what it is told.
struct Ear {
    netns: NetnsCookie,
    frames: Mutex<BytesMut>,
    told: Mutex<Sender<Told>>,
}

impl Wire for Ear {
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut frames = self.frames.lock().unwrap();
        frames.extend_from_slice(bytes);
        let mut codec = FrameCodec::<MonitorMessage, MonitorMessage>::default();
        while let Some(message) = codec.decode(&mut frames).unwrap() {
            if let Some(Message::Notice(notice)) = message.message {
                // Nobody listens any more once the test is over.
                let _ = self.told.lock().unwrap().send((Some(self.netns), notice));
            }
        }
        Ok(bytes.len())
    }

    fn wake(&self) {}
}

/// All places here have the same peer: whoever sees the whole node would see the other tests' incidents too.
static NODE: RwLock<()> = RwLock::new(());

/// A turn on the node: beside others that look at their own place, or alone.
#[expect(dead_code, reason = "held, not read")]
enum Turn {
    Beside(RwLockReadGuard<'static, ()>),
    Alone(RwLockWriteGuard<'static, ()>),
}

/// A monitor of the running kernel that records.
struct Incident {
    _turn: Turn,
    hub: Arc<Hub>,
    _reader: ReaderThread,
    writer: Writer,
    news: Receiver<Told>,
    told: Vec<Told>,
    dir: tempfile::TempDir,
}

impl Incident {
    /// Seen from this place alone.
    fn within(place: &Place) -> Self {
        Self::with(Some(place.cookie()), &[place])
    }

    /// Sees one namespace, or all, and tells subscribers in these places.
    fn with(netns: Option<NetnsCookie>, places: &[&Place]) -> Self {
        let turn = match netns {
            Some(_) => Turn::Beside(NODE.read().unwrap_or_else(PoisonError::into_inner)),
            None => Turn::Alone(NODE.write().unwrap_or_else(PoisonError::into_inner)),
        };
        let options = Options {
            netns,
            ..Options::default()
        };
        let kernel = start(&options).unwrap_or_else(|error| panic!("{error}: {error:?}"));
        let dir = tempfile::tempdir().unwrap();
        let begin = monotonic();
        let header = Header {
            obit: Magic::Recording,
            format: FORMAT,
            version: env!("CARGO_PKG_VERSION").into(),
            node: "node-a".into(),
            kernel: version_of_kernel(),
            start_ns: begin.0,
            start_unix_ms: obit_monitor::clock::unix_ms(),
            stall: Bounds::default().into(),
            signals: kernel.signals.iter().map(|signal| signal.name().to_owned()).collect(),
            netns,
            virtual_addresses: Vec::new(),
        };
        let hub = Arc::new(Hub::new(Limits::default(), Box::new(kernel.filter), begin));
        let (recorder, writer) = Target::open(&recorded(&dir), Existing::Refuse)
            .unwrap()
            .record(&header, 1 << 20)
            .unwrap();
        hub.record(Some(recorder));
        let (tell, news) = mpsc::channel();
        for place in places {
            let ear = Ear {
                netns: place.cookie(),
                frames: Mutex::default(),
                told: Mutex::new(tell.clone()),
            };
            let id = hub.join(Some(place.cookie()), Arc::new(ear)).unwrap();
            hub.watch(id, &[PEER], monotonic()).unwrap();
        }
        let reader = ReaderThread::spawn(kernel.source, Arc::clone(&hub), Bounds::default()).unwrap();
        Self {
            _turn: turn,
            hub,
            _reader: reader,
            writer,
            news,
            told: Vec::new(),
            dir,
        }
    }

    /// Waits until someone is told so of a peer, or of a connection.
    fn until(&mut self, what: &str, enough: impl Fn(&Told) -> bool) {
        loop {
            let told = self.news.recv_timeout(PATIENCE);
            let told = told.unwrap_or_else(|_| panic!("nobody was told {what}, but {:#?}", self.told));
            self.told.push(told);
            if self.told.last().is_some_and(&enough) {
                return;
            }
        }
    }

    fn until_peer_is(&mut self, place: &Place, verdict: Verdict, reason: Reason) {
        let netns = place.cookie();
        self.until(&format!("{verdict:?} {reason:?}"), |(told, notice)| {
            *told == Some(netns)
                && notice.socket_cookie == 0
                && (notice.verdict(), notice.reason()) == (verdict, reason)
        });
    }

    fn until_connection_is(&mut self, connection: &Socket, verdict: Verdict) {
        let cookie = connection.cookie().unwrap();
        self.until(&format!("connection {cookie} {verdict:?}"), |(_, notice)| {
            notice.socket_cookie == cookie && notice.verdict() == verdict
        });
    }

    /// Ends the recording; its replay tells what was told.
    fn end(mut self, name: &str) {
        self.hub.record(None);
        let written = self.writer.finish(monotonic(), Why::Stopped).unwrap();
        assert_eq!(written.missing, 0);
        let waited_for = self.told.len();
        self.told.extend(self.news.try_iter());
        let file = recorded(&self.dir);
        let recording = decode(&std::fs::read(&file).unwrap()).unwrap();
        assert!(recording.error.is_none(), "{:?}", recording.error);
        let mut replay = Replay::new(&recording.header, None);
        let mut news = Vec::new();
        for entry in &recording.entries {
            replay.step(entry, &mut news);
        }
        let mut again: Vec<Told> = news
            .into_iter()
            .filter_map(|news| match news {
                News::Notice { netns, notice, .. } => Some((netns, notice)),
                _ => None,
            })
            .collect();
        // Each notice has its number; between two namespaces that is the only order there is.
        again.sort_by_key(|(_, notice)| notice.seq);
        self.told.sort_by_key(|(_, notice)| notice.seq);
        // What was told after the recording's end is not in it.
        assert!(
            again.len() >= waited_for && self.told.starts_with(&again),
            "told {:#?}, and again {again:#?}",
            self.told
        );
        if std::env::var_os("OBIT_RECORD").is_some() {
            let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/recordings/{name}.obit"));
            std::fs::write(kept, std::fs::read(&file).unwrap()).unwrap();
        }
    }
}

/// Without what a distribution adds to it.
fn version_of_kernel() -> String {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    release.split('-').next().unwrap().to_owned()
}

fn recorded(dir: &tempfile::TempDir) -> PathBuf {
    dir.path().join("incident.obit")
}

fn listen(place: &Place) -> TcpListener {
    place.run(|| TcpListener::bind(PEER).unwrap())
}

/// Connections to the peer: its ends, and those of the clients.
fn connect(place: &Place, listener: &TcpListener, count: usize) -> (Vec<Socket>, Vec<Socket>) {
    let listener = listener.try_clone().unwrap();
    place.run(move || {
        (0..count)
            .map(|_| {
                let client = dial(PEER).unwrap();
                (Socket::from(listener.accept().unwrap().0), client)
            })
            .unzip()
    })
}

fn reset(server: Socket) {
    server.set_linger(Some(Duration::ZERO)).unwrap();
}

#[test]
fn refused() {
    let place = a_place();
    let mut incident = Incident::within(&place);
    place.run(|| dial(PEER)).unwrap_err();
    incident.until_peer_is(&place, Verdict::Dead, Reason::Refused);
    incident.end("refused");
}

#[test]
fn unreachable() {
    let place = a_place();
    let mut incident = Incident::within(&place);
    place.rule("tcp dport 4040 reject with icmp host-unreachable");
    place.run(|| dial(PEER)).unwrap_err();
    incident.until_peer_is(&place, Verdict::Dead, Reason::Unreachable);
    incident.end("unreachable");
}

#[test]
fn stalled_dials() {
    let place = a_place();
    let mut incident = Incident::within(&place);
    place.rule(SILENCE);
    let first = place.run(|| begin_dial(PEER, |_| {}));
    incident.until_peer_is(&place, Verdict::Suspect, Reason::SynStalled);
    let second = place.run(|| begin_dial(PEER, |_| {}));
    incident.until_peer_is(&place, Verdict::Dead, Reason::SynStalled);
    incident.end("stalled-dials");
    drop((first, second));
}

#[test]
fn a_dial_sent_again() {
    let place = a_place();
    let mut incident = Incident::within(&place);
    place.rule(SILENCE);
    let waiting = place.run(|| begin_dial(PEER, |_| {}));
    incident.until_peer_is(&place, Verdict::Suspect, Reason::SynStalled);
    incident.until("a death", |(_, notice)| notice.verdict() == Verdict::Dead);
    incident.end("retransmit");
    drop(waiting);
}

#[test]
fn one_connection_of_several_reset() {
    let place = a_place();
    let mut incident = Incident::within(&place);
    let listener = listen(&place);
    let (mut servers, clients) = connect(&place, &listener, 3);
    reset(servers.remove(1));
    incident.until_connection_is(&clients[1], Verdict::Dead);
    incident.end("one-of-several-reset");
}

#[test]
fn all_connections_closed_together() {
    let place = a_place();
    let mut incident = Incident::within(&place);
    let listener = listen(&place);
    let (servers, clients) = connect(&place, &listener, 3);
    drop(servers);
    incident.until_peer_is(&place, Verdict::Suspect, Reason::AllClosed);
    incident.end("all-closed");
    drop(clients);
}

#[test]
fn stalled_connections() {
    let place = a_place();
    let mut incident = Incident::within(&place);
    let listener = listen(&place);
    let (servers, clients) = connect(&place, &listener, 2);
    place.rule(SILENCE);
    for client in &clients {
        client.send(b"x").unwrap();
    }
    let cookies: Vec<_> = clients.iter().map(|client| client.cookie().unwrap()).collect();
    for _ in &clients {
        incident.until("the death of a connection", |(_, notice)| {
            cookies.contains(&notice.socket_cookie) && notice.verdict() == Verdict::Dead
        });
    }
    incident.end("stalled-connections");
    drop((servers, clients));
}

#[test]
fn a_node_lost() {
    let place = a_place();
    let mut incident = Incident::within(&place);
    let listener = listen(&place);
    let (servers, clients) = connect(&place, &listener, 1);
    incident.until("a life", |(_, notice)| notice.verdict() == Verdict::Alive);
    place.rule(SILENCE);
    clients[0].send(b"x").unwrap();
    let dialling = place.run(|| begin_dial(PEER, |_| {}));
    incident.until("a death", |(_, notice)| {
        notice.socket_cookie == 0 && notice.verdict() == Verdict::Dead
    });
    incident.end("node-loss");
    drop((servers, clients, dialling));
}

#[test]
fn a_crash_loop() {
    let place = a_place();
    let mut incident = Incident::within(&place);
    for _ in 0..3 {
        let listener = listen(&place);
        let (servers, clients) = connect(&place, &listener, 1);
        incident.until("a life", |(_, notice)| notice.verdict() == Verdict::Alive);
        drop(listener);
        servers.into_iter().for_each(reset);
        incident.until_connection_is(&clients[0], Verdict::Dead);
        place.run(|| dial(PEER)).unwrap_err();
        incident.until_peer_is(&place, Verdict::Dead, Reason::Refused);
    }
    incident.end("crash-loop");
}

#[test]
fn a_recovery() {
    let place = a_place();
    let mut incident = Incident::within(&place);
    place.run(|| dial(PEER)).unwrap_err();
    incident.until_peer_is(&place, Verdict::Dead, Reason::Refused);
    let listener = listen(&place);
    let connection = connect(&place, &listener, 1);
    incident.until("a life", |(_, notice)| notice.verdict() == Verdict::Alive);
    incident.end("recovery");
    drop(connection);
}

#[test]
fn evidence_of_other_namespaces() {
    let (first, second, bystander) = (a_place(), a_place(), a_place());
    let mut incident = Incident::with(None, &[&first, &second, &bystander]);
    first.run(|| dial(PEER)).unwrap_err();
    incident.until_peer_is(&bystander, Verdict::Suspect, Reason::Refused);
    second.run(|| dial(PEER)).unwrap_err();
    incident.until_peer_is(&bystander, Verdict::Dead, Reason::Refused);
    let listener = listen(&second);
    let connection = connect(&second, &listener, 1);
    incident.until("a life", |(told, notice)| {
        *told == Some(bystander.cookie()) && notice.verdict() == Verdict::Alive
    });
    incident.end("other-namespaces");
    drop(connection);
}
