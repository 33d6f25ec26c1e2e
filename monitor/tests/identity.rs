//! Subscribers that are somebody else: in another network namespace, in another pid namespace, of another user. Each is
//! told what its own namespace's sockets saw, and the log names the process and the user the kernel vouches for.
//!
//! Needs root, to be somebody else, and `ip`; fails where it cannot run. The subscribers are real processes, the sightings
//! are put in by hand.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

#[path = "kernel/place.rs"]
#[allow(dead_code, reason = "shared with the tests of the kernel half, which use all of it")]
mod place;
mod support;

use std::fs;
use std::io::{self, BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, Weak};
use std::thread;
use std::time::Duration;

use obit_monitor::sighting::Observation;
use obit_protocol::Verdict;
use place::Place;
use serde_json::Value;
use support::{Client, Monitor, own, peer};
use tokio::sync::mpsc;
use tracing::subscriber::DefaultGuard;

/// Nothing here takes this long unless it never comes.
const PATIENCE: Duration = Duration::from_secs(20);

/// A user with no privileges, `nobody` on Debian.
const NOBODY: u32 = 65_534;

/// A monitor, a subscriber of this process to compare with, and the monitor's log.
struct Node {
    monitor: Monitor,
    here: Client,
    log: Log,
    binary: Arc<Binary>,
    _dir: tempfile::TempDir,
}

/// `obit`, where everyone may run it: its own folder may be closed to others.
struct Binary {
    path: PathBuf,
    _dir: tempfile::TempDir,
}

impl Binary {
    /// Copied when no test runs, and once for all that do: a file that is being written cannot be run, and a process that
    /// another test starts meanwhile goes on writing it until it becomes another program.
    fn get() -> Arc<Self> {
        static COPY: Mutex<Weak<Binary>> = Mutex::new(Weak::new());
        let mut copy = COPY.lock().unwrap();
        copy.upgrade().unwrap_or_else(|| {
            let dir = open_to_all();
            let path = dir.path().join("obit");
            fs::copy(env!("CARGO_BIN_EXE_obit"), &path).unwrap();
            let made = Arc::new(Self { path, _dir: dir });
            *copy = Arc::downgrade(&made);
            made
        })
    }
}

/// A folder that everyone may look into, as `/run/obit` is.
fn open_to_all() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    dir
}

impl Node {
    /// The subscriber here watches the first two peers.
    async fn new() -> Self {
        let binary = Binary::get();
        let log = Log::start();
        let dir = open_to_all();
        let monitor = Monitor::start(&dir.path().join("obit.sock"));
        let here = Client::watching(&monitor.path, &[peer(1), peer(2)]).await;
        Self {
            monitor,
            here,
            log,
            binary,
            _dir: dir,
        }
    }

    /// `obit watch` of the same two peers, not started.
    fn subscriber(&self) -> Command {
        let mut command = Command::new(&self.binary.path);
        command.args(["watch", "--json", "--socket"]).arg(&self.monitor.path);
        command.args([peer(1), peer(2)].map(|peer| peer.to_string()));
        command.stdout(Stdio::piped());
        command
    }
}

/// A subscriber in a process of its own; killed at the end.
struct Elsewhere {
    child: Child,
    events: mpsc::UnboundedReceiver<Value>,
}

impl Elsewhere {
    fn new(mut child: Child) -> Self {
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (send, events) = mpsc::unbounded_channel();
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                // Nobody listens any more once the test is over.
                let _ = send.send(serde_json::from_str(&line).unwrap());
            }
        });
        Self { child, events }
    }

    fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The next notice, whether it was known before or is news: peer and verdict.
    async fn notice(&mut self) -> (String, String) {
        let notice = self.event("notice").await;
        let text = |field: &str| notice[field].as_str().unwrap().to_owned();
        (text("peer"), text("verdict"))
    }

    async fn event(&mut self, kind: &str) -> Value {
        loop {
            let next = tokio::time::timeout(PATIENCE, self.events.recv()).await;
            let event = next.expect("nothing came").expect("the subscriber ended");
            if event["event"] == kind {
                return event;
            }
        }
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// What this thread logs, which is what the monitor logs: its tasks run on the thread of the test.
struct Log {
    lines: Arc<Mutex<Vec<u8>>>,
    _guard: DefaultGuard,
}

impl Log {
    fn start() -> Self {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let writer = Writer(Arc::clone(&lines));
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(move || Writer(Arc::clone(&writer.0)))
            .finish();
        Self {
            lines,
            _guard: tracing::subscriber::set_default(subscriber),
        }
    }

    /// The line that says that this process has subscribed.
    fn subscribed(&self, pid: u32) -> String {
        let lines = String::from_utf8(self.lines.lock().unwrap().clone()).unwrap();
        let pid = format!(" pid={pid} ");
        let found = lines
            .lines()
            .find(|line| line.contains("subscribed") && line.contains(&pid));
        found
            .unwrap_or_else(|| panic!("nothing of{pid}in the log:\n{lines}"))
            .to_owned()
    }
}

struct Writer(Arc<Mutex<Vec<u8>>>);

impl io::Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Starts it as the first process of a pid namespace.
fn in_new_pid_namespace(mut command: Command) -> Child {
    thread::spawn(move || {
        unshare_pids();
        command.spawn().unwrap()
    })
    .join()
    .unwrap()
}

#[expect(
    unsafe_code,
    reason = "rustix calls unsharing unsafe for its flags that part file descriptors and memory"
)]
fn unshare_pids() {
    // SAFETY: where this thread's next children are numbered concerns neither.
    let result = unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWPID) };
    result.expect("making a pid namespace needs root (CAP_SYS_ADMIN)");
}

fn pid_namespace(of: &str) -> PathBuf {
    fs::read_link(Path::new("/proc").join(of).join("ns/pid")).unwrap()
}

fn told(peer: SocketAddr, verdict: &str) -> (String, String) {
    (peer.to_string(), verdict.to_owned())
}

#[tokio::test]
async fn a_subscriber_in_another_network_namespace_is_told_what_is_seen_there() {
    let mut node = Node::new().await;
    let place = Place::new();
    let mut command = node.subscriber();
    let mut there = Elsewhere::new(place.run(move || command.spawn().unwrap()));

    node.monitor.see(place.cookie(), 11, peer(1), Observation::Refused);
    assert_eq!(node.here.notice().await.verdict(), Verdict::Suspect);
    assert_eq!(there.notice().await, told(peer(1), "dead"));
    node.monitor.refused(peer(2));
    assert_eq!(node.here.notice().await.verdict(), Verdict::Dead);
    assert_eq!(there.notice().await, told(peer(2), "suspect"));

    // A connection is nobody's business but its namespace's.
    node.monitor.reset(21, peer(2));
    node.monitor.see(place.cookie(), 22, peer(2), Observation::Reset);
    assert_eq!(node.here.notice().await.socket_cookie, 21);
    assert_eq!(there.event("notice").await["socket_cookie"], 22);
    node.monitor.reset(23, peer(2));
    assert_eq!(node.here.notice().await.socket_cookie, 23);

    let line = node.log.subscribed(there.pid());
    assert!(line.contains(&format!(" netns={} ", place.cookie().0)), "{line}");
    assert!(line.ends_with(" uid=0"), "{line}");
}

#[tokio::test]
async fn a_subscriber_in_another_pid_namespace_is_told_as_any_other_and_named_as_it_is_known_here() {
    let mut node = Node::new().await;
    let mut there = Elsewhere::new(in_new_pid_namespace(node.subscriber()));
    node.monitor.refused(peer(1));
    assert_eq!(node.here.notice().await.verdict(), Verdict::Dead);
    assert_eq!(there.notice().await, told(peer(1), "dead"));
    assert_ne!(pid_namespace(&there.pid().to_string()), pid_namespace("self"));
    let line = node.log.subscribed(there.pid());
    assert!(line.contains(&format!(" netns={} ", own().0)), "{line}");
}

#[tokio::test]
async fn a_subscriber_of_another_user_is_told_as_any_other_and_named() {
    let mut node = Node::new().await;
    let mut command = node.subscriber();
    let mut there = Elsewhere::new(command.uid(NOBODY).gid(NOBODY).spawn().unwrap());
    node.monitor.refused(peer(1));
    assert_eq!(node.here.notice().await.verdict(), Verdict::Dead);
    assert_eq!(there.notice().await, told(peer(1), "dead"));
    let line = node.log.subscribed(there.pid());
    assert!(line.contains(&format!(" netns={} ", own().0)), "{line}");
    assert!(line.ends_with(&format!(" uid={NOBODY}")), "{line}");
}
