//! The whole path, with the real binary and the real kernel: a dial fails in a namespace, and a subscriber there knows.
//!
//! Needs root, and `ip`; fails where it cannot run.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

#[path = "kernel/place.rs"]
#[allow(dead_code, reason = "shared with the tests of the kernel half, which use all of it")]
mod place;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bytes::BytesMut;
use obit_monitor::clock;
use obit_monitor::sighting::MonotonicNs;
use obit_protocol::{
    ClientMessage, FrameCodec, GoodbyeReason, Hello, MonitorMessage, Notice, PROTOCOL_VERSION, Reason, Verdict, Watch,
    client_message, monitor_message::Message,
};
use place::{Place, join};
use rustix::process::{Pid, Signal, kill_process};
use tokio_util::codec::{Decoder, Encoder};

/// An address of the namespace that is not loopback, so that it means the same everywhere.
const ADDRESS: &str = "198.18.7.1";

fn a_place() -> Place {
    Place::with_address(ADDRESS)
}

/// `obit monitor`, for the whole node.
fn monitor_of_node(socket: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_obit"));
    command.args(["monitor", "--socket"]).arg(socket);
    command
}

/// `obit monitor`, for the place it is started in.
fn monitor(socket: &Path) -> Command {
    let mut command = monitor_of_node(socket);
    command.args(["--netns", "/proc/self/ns/net"]);
    command
}

/// `obit monitor`, running in a place; killed if the test forgets it.
struct Monitor {
    child: Child,
    epoch: String,
}

impl Monitor {
    fn start(place: &Place, socket: &Path) -> Self {
        Self::start_with(place, socket, &[])
    }

    fn start_with(place: &Place, socket: &Path, arguments: &'static [&'static str]) -> Self {
        let mut command = monitor(socket);
        command.args(arguments);
        Self::spawn(place, command)
    }

    fn spawn(place: &Place, mut command: Command) -> Self {
        let mut child = place.run(move || command.stdout(Stdio::piped()).spawn().unwrap());
        let mut ready = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut ready)
            .unwrap();
        assert!(ready.starts_with("ready socket="), "it did not become ready: {ready:?}");
        let epoch = ready.trim().rsplit('=').next().unwrap().to_owned();
        Self { child, epoch }
    }

    /// SIGTERM; it must end by itself, and cleanly.
    fn terminate(mut self) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::TERM).unwrap();
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        // Fails if it has ended, as it should have.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A client without a runtime, as one in any language would be.
struct Client {
    stream: UnixStream,
    codec: FrameCodec<MonitorMessage, ClientMessage>,
    received: BytesMut,
}

impl Client {
    fn watching(socket: PathBuf, peers: &[SocketAddr]) -> Self {
        let stream = UnixStream::connect(socket).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut client = Self {
            stream,
            codec: FrameCodec::default(),
            received: BytesMut::new(),
        };
        client.say(client_message::Message::Hello(Hello {
            version: PROTOCOL_VERSION,
            name: "path".into(),
        }));
        client.say(client_message::Message::Watch(Watch {
            add: peers.iter().copied().map(Into::into).collect(),
            remove: vec![],
            id: 1,
        }));
        assert!(
            matches!(client.next(), Message::Welcome(welcome) if welcome.signals.iter().any(|name| name == "refused"))
        );
        assert!(matches!(client.next(), Message::Snapshot(_)));
        client
    }

    fn say(&mut self, message: client_message::Message) {
        let mut bytes = BytesMut::new();
        self.codec
            .encode(ClientMessage { message: Some(message) }, &mut bytes)
            .unwrap();
        self.stream.write_all(&bytes).unwrap();
    }

    /// The next message that is not a heartbeat.
    fn next(&mut self) -> Message {
        loop {
            match self.next_of_all() {
                Message::Heartbeat(_) => {}
                message => return message,
            }
        }
    }

    fn next_of_all(&mut self) -> Message {
        loop {
            if let Some(message) = self.codec.decode(&mut self.received).unwrap() {
                return message.message.unwrap();
            }
            let mut bytes = [0; 4096];
            let count = self.stream.read(&mut bytes).expect("the monitor says nothing");
            assert!(count > 0, "the monitor hung up");
            self.received.extend_from_slice(&bytes[..count]);
        }
    }

    /// Waits for a heartbeat that says whether the monitor is blind.
    fn until_blind(&mut self, blind: bool) {
        while !matches!(self.next_of_all(), Message::Heartbeat(beat) if (beat.blind_since_ns != 0) == blind) {}
    }

    fn notice(&mut self) -> Notice {
        match self.next() {
            Message::Notice(notice) => notice,
            other => panic!("instead of a notice: {other:?}"),
        }
    }
}

/// The address, at a port nobody listens on.
fn nobody(place: &Place) -> SocketAddr {
    place.run(|| TcpListener::bind((ADDRESS, 0)).unwrap().local_addr().unwrap())
}

#[test]
fn a_refused_dial_is_a_death_where_it_happened_and_a_suspicion_elsewhere() {
    let (place, dir) = (a_place(), tempfile::tempdir().unwrap());
    let socket = dir.path().join("obit.sock");
    let monitor = Monitor::start(&place, &socket);
    let peer = nobody(&place);
    // A unix socket belongs to the namespace it was made in, and that is what the kernel tells of it.
    let within = socket.clone();
    let mut inside = place.run(move || Client::watching(within, &[peer]));
    let mut outside = Client::watching(socket, &[peer]);

    let refusal = place.run(move || TcpStream::connect(peer).unwrap_err());
    assert_eq!(refusal.kind(), std::io::ErrorKind::ConnectionRefused);
    let death = inside.notice();
    assert_eq!((death.verdict(), death.reason()), (Verdict::Dead, Reason::Refused));
    assert_eq!(death.peer, Some(peer.into()));
    let suspicion = outside.notice();
    assert_eq!(
        (suspicion.verdict(), suspicion.reason()),
        (Verdict::Suspect, Reason::Refused)
    );

    // It comes back.
    let listener = place.run(move || TcpListener::bind(peer).unwrap());
    let stream = place.run(move || TcpStream::connect(peer).unwrap());
    for client in [&mut inside, &mut outside] {
        assert_eq!(client.notice().verdict(), Verdict::Alive);
    }

    // And ends the only connection: the connection is drained where it lives, the peer is suspect for all.
    drop(listener.accept().unwrap());
    let mut told = [inside.notice(), inside.notice()];
    told.sort_by_key(|notice| notice.socket_cookie);
    assert_eq!(
        (told[0].verdict(), told[0].reason()),
        (Verdict::Suspect, Reason::AllClosed)
    );
    assert_eq!(
        (told[1].verdict(), told[1].reason()),
        (Verdict::Draining, Reason::PeerClosed)
    );
    assert_eq!(
        told[1].socket_cookie,
        rustix::net::sockopt::socket_cookie(&stream).unwrap()
    );
    assert_eq!(outside.notice().socket_cookie, 0);
    monitor.terminate();
}

#[test]
fn sigterm_is_told_to_subscribers_and_the_next_monitor_has_another_epoch() {
    let (place, dir) = (a_place(), tempfile::tempdir().unwrap());
    let socket = dir.path().join("obit.sock");
    let monitor = Monitor::start(&place, &socket);
    let epoch = monitor.epoch.clone();
    let mut client = Client::watching(socket.clone(), &[nobody(&place)]);
    monitor.terminate();
    assert!(matches!(client.next(), Message::Goodbye(goodbye) if goodbye.reason() == GoodbyeReason::Shutdown));
    assert!(!socket.exists());
    let next = Monitor::start(&place, &socket);
    assert_ne!(next.epoch, epoch);
    next.terminate();
}

#[test]
fn an_isolated_refusal_reaches_its_subscriber_at_once() {
    let (place, dir) = (a_place(), tempfile::tempdir().unwrap());
    let socket = dir.path().join("obit.sock");
    let monitor = Monitor::start(&place, &socket);
    let listener = place.run(|| TcpListener::bind((ADDRESS, 0)).unwrap());
    let answers = listener.local_addr().unwrap();
    let refuses: Vec<_> = (0..200)
        .map(|_| nobody(&place))
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    let watched: Vec<_> = refuses.iter().copied().chain([answers]).collect();
    let mut client = place.run(move || Client::watching(socket, &watched));
    let mut latencies = vec![];
    for peer in refuses {
        // Until the reader sleeps again, and its wake-up is part of what is measured.
        std::thread::park_timeout(Duration::from_millis(20));
        place.run(move || TcpStream::connect(peer).unwrap_err());
        let seen = client.notice();
        latencies.push(clock::monotonic().since(MonotonicNs(seen.kernel_ns)));
    }
    latencies.sort_unstable();
    let (p50, p99) = (latencies[latencies.len() / 2], latencies[latencies.len() * 99 / 100]);
    eprintln!("kernel event to client: p50 {p50:?}, p99 {p99:?}");
    // A bound for a debug build on a machine that does other things; the lab measures the real thing.
    assert!(p50 < Duration::from_millis(2), "{latencies:?}");
    monitor.terminate();
}

#[test]
fn a_server_of_this_node_that_stops_listening_is_dead_for_everyone_before_a_packet_says_so() {
    let (client, pod, elsewhere) = (Place::new(), Place::new(), Place::new());
    let (its, peer) = (Ipv4Addr::new(198, 18, 77, 1), Ipv4Addr::new(198, 18, 77, 2));
    join(&client, its, &pod, peer);
    let peer = SocketAddr::new(peer.into(), 8_080);
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("obit.sock");
    let monitor = Monitor::spawn(&elsewhere, monitor_of_node(&socket));
    let within = socket.clone();
    let mut inside = client.run(move || Client::watching(within, &[peer]));
    let mut outside = elsewhere.run(move || Client::watching(socket, &[peer]));
    let listen = || TcpListener::bind((Ipv4Addr::UNSPECIFIED, 8_080)).unwrap();
    let listener = pod.run(listen);
    let _connection = client.run(move || TcpStream::connect(peer).unwrap());
    for client in [&mut inside, &mut outside] {
        assert_eq!(client.notice().verdict(), Verdict::Alive);
    }
    let _accepted = pod.run(move || listener.accept().unwrap());
    // The listener is gone, its connection is not.
    for client in [&mut inside, &mut outside] {
        let death = client.notice();
        assert_eq!(
            (death.verdict(), death.reason()),
            (Verdict::Dead, Reason::ListenerClosed)
        );
    }
    // It comes back, and nobody has to be refused to find out.
    let _listener = pod.run(listen);
    for client in [&mut inside, &mut outside] {
        assert_eq!(client.notice().verdict(), Verdict::Alive);
    }
    monitor.terminate();
}

#[test]
fn a_monitor_that_hears_nothing_of_what_it_knows_to_have_happened_says_so() {
    let (place, dir) = (a_place(), tempfile::tempdir().unwrap());
    let socket = dir.path().join("obit.sock");
    let arguments = &["--canary-ms", "100", "--heartbeat-ms", "100"];
    let monitor = Monitor::start_with(&place, &socket, arguments);
    let peer = nobody(&place);
    let mut client = Client::watching(socket, &[peer]);
    client.until_blind(false);
    place.rule("ip daddr 127.0.0.0/8 drop");
    client.until_blind(true);
    place.rule("accept");
    client.until_blind(false);
    // And it sees as before.
    let within = dir.path().join("obit.sock");
    let mut inside = place.run(move || Client::watching(within, &[peer]));
    place.run(move || TcpStream::connect(peer).unwrap_err());
    assert_eq!(inside.notice().verdict(), Verdict::Dead);
    monitor.terminate();
}

#[test]
fn a_monitor_that_hears_nothing_from_the_start_does_not_become_ready_and_says_why() {
    let (place, dir) = (a_place(), tempfile::tempdir().unwrap());
    let socket = dir.path().join("obit.sock");
    place.rule("ip daddr 127.0.0.0/8 drop");
    let mut command = monitor(&socket);
    let output = place.run(move || command.output().unwrap());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && output.stdout.is_empty());
    assert!(
        said.contains("was not seen to be refused") && said.contains("firewall"),
        "{said}"
    );
    assert!(!socket.exists());
}
