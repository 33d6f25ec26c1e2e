//! `obit record` and `obit monitor --record`, with the real binary and the real kernel.
//!
//! Needs root, `ip`, `mount` and `unshare`; fails where it cannot run.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

#[path = "kernel/place.rs"]
#[allow(dead_code, reason = "shared with the tests of the kernel half, which use all of it")]
mod place;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use place::{HERE, Place};
use rustix::process::{Pid, Signal, kill_process};

fn obit() -> Command {
    let mut obit = Command::new(env!("CARGO_BIN_EXE_obit"));
    obit.env_remove("RUST_LOG").env_remove("OBIT_SOCKET");
    obit
}

/// `obit`, running in a place; killed if the test forgets it.
struct Running {
    child: Child,
    said: BufReader<ChildStderr>,
}

impl Running {
    /// Starts it and waits until it is at work.
    fn start(place: &Place, mut command: Command) -> Self {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = place.run(move || command.spawn().unwrap());
        let mut ready = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut ready)
            .unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap());
        if ready.is_empty() {
            said.read_to_string(&mut ready).unwrap();
            panic!("it did not start: {ready}");
        }
        Self { child, said }
    }

    fn wait_until_it_says(&mut self, what: &str) {
        let mut all = String::new();
        while !all.contains(what) {
            let read = self.said.read_line(&mut all).unwrap();
            assert!(read > 0, "it ended and did not say {what:?}, but {all}");
        }
    }

    /// SIGTERM; it must end by itself, and cleanly. Returns what it said since the last look.
    fn terminate(mut self) -> String {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        let mut said = String::new();
        self.said.read_to_string(&mut said).unwrap();
        assert!(self.child.wait().unwrap().success(), "{said}");
        said
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Fails if it has ended, as it should have.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn replay(file: &Path) -> Output {
    obit().arg("replay").arg(file).output().unwrap()
}

/// What a whole recording tells.
fn told(file: &Path) -> String {
    let output = replay(file);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn nobody(place: &Place) -> SocketAddr {
    place.run(|| TcpListener::bind((HERE, 0)).unwrap().local_addr().unwrap())
}

fn dial(place: &Place, peer: SocketAddr) {
    place.run(move || TcpStream::connect(peer).unwrap_err());
}

fn record(file: &Path, peer: SocketAddr) -> Command {
    let mut command = obit();
    command
        .args(["record", "--netns", "/proc/self/ns/net"])
        .arg(file)
        .arg(peer.to_string());
    command
}

fn monitor(dir: &Path, file: &Path) -> Command {
    let mut command = obit();
    command
        .args(["monitor", "--netns", "/proc/self/ns/net", "--socket"])
        .arg(dir.join("obit.sock"))
        .arg("--record")
        .arg(file);
    command
}

/// `obit watch`, until it has printed a line with `what`. It does not say when the monitor has begun to look, so it happens
/// again until then.
fn watch_until(dir: &Path, peer: SocketAddr, what: &str, place: &Place, happen: impl Fn()) {
    let (socket, what) = (dir.join("obit.sock"), what.to_owned());
    let mut child = place.run(move || {
        let mut watch = obit();
        watch.arg("watch").arg("--socket").arg(socket).arg(peer.to_string());
        watch.stdout(Stdio::piped()).spawn().unwrap()
    });
    let mut lines = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok);
    assert!(lines.next().is_some_and(|line| line.starts_with("connected")));
    let (tell, told) = mpsc::channel();
    let reader = thread::spawn(move || tell.send(lines.any(|line| line.contains(&what))));
    let found = (0..200).find_map(|_| {
        happen();
        told.recv_timeout(Duration::from_millis(50)).ok()
    });
    assert_eq!(found, Some(true), "nobody was told");
    reader.join().unwrap().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn an_incident_recorded_can_be_replayed() {
    let (place, dir) = (Place::new(), tempfile::tempdir().unwrap());
    let file = dir.path().join("incident.obit");
    let peer = nobody(&place);
    let recorder = Running::start(&place, record(&file, peer));
    dial(&place, peer);
    // What the kernel saw is in the file soon after; there is nobody to say when.
    for _ in 0..200 {
        if fs::read_to_string(&file).unwrap().contains("refused\"}]") {
            break;
        }
        thread::park_timeout(Duration::from_millis(20));
    }
    assert!(recorder.terminate().contains("recorded"));
    let told = told(&file);
    assert!(told.contains("dead") && told.contains(&peer.to_string()), "{told}");
    // A recording is not lost by recording again.
    let again = record(&file, peer).output().unwrap();
    let said = String::from_utf8(again.stderr).unwrap();
    assert!(
        !again.status.success() && said.contains("exists") && said.contains("--force"),
        "{said}"
    );
}

#[test]
fn a_recorder_that_is_killed_leaves_what_it_has_seen() {
    let (place, dir) = (Place::new(), tempfile::tempdir().unwrap());
    let file = dir.path().join("incident.obit");
    let mut recorder = Running::start(&place, record(&file, nobody(&place)));
    recorder.child.kill().unwrap();
    recorder.child.wait().unwrap();
    let output = replay(&file);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.starts_with(b"recording of"));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("its recorder was"), "{said}");
}

#[test]
fn a_monitor_records_what_its_subscribers_asked_about_and_keeps_the_recording_before() {
    let (place, dir) = (Place::new(), tempfile::tempdir().unwrap());
    let file = dir.path().join("incident.obit");
    let peer = nobody(&place);
    let daemon = Running::start(&place, monitor(dir.path(), &file));
    watch_until(dir.path(), peer, "dead", &place, || dial(&place, peer));
    daemon.terminate();
    let first = told(&file);
    assert!(first.contains("dead") && first.contains(&peer.to_string()), "{first}");
    Running::start(&place, monitor(dir.path(), &file)).terminate();
    assert_eq!(told(&dir.path().join("incident.obit.old")), first);
    assert_eq!(told(&file).lines().count(), 2);
}

#[test]
fn a_monitor_that_cannot_record_says_so_and_goes_on() {
    let (place, dir) = (Place::new(), tempfile::tempdir().unwrap());
    let peer = nobody(&place);
    let mut daemon = Running::start(&place, monitor(dir.path(), Path::new("/does/not/exist")));
    daemon.wait_until_it_says("/does/not/exist cannot be written");
    watch_until(dir.path(), peer, "dead", &place, || dial(&place, peer));
    daemon.terminate();
}

#[test]
fn a_full_disk_ends_the_recording_and_not_the_monitor() {
    let (place, dir) = (Place::new(), tempfile::tempdir().unwrap());
    let small: PathBuf = dir.path().join("small");
    fs::create_dir(&small).unwrap();
    let file = small.join("incident.obit");
    let peer = nobody(&place);
    // A disk of four pages, in a mount namespace of the monitor's own; it goes with it.
    let mut command = Command::new("unshare");
    command
        .env_remove("RUST_LOG")
        .args(["--mount", "sh", "-ec"])
        .arg("mount -t tmpfs -o size=16k small \"$1\"; shift; exec \"$@\"")
        .arg("sh")
        .arg(&small);
    let inner = monitor(dir.path(), &file);
    command.arg(inner.get_program()).args(inner.get_args());
    let mut daemon = Running::start(&place, command);
    watch_until(dir.path(), peer, "dead", &place, || {
        for _ in 0..500 {
            dial(&place, peer);
        }
    });
    daemon.wait_until_it_says("takes no more");
    // The disk as the monitor sees it: what is there can be relied on, and no more than the end is missing.
    let seen = PathBuf::from(format!("/proc/{}/root{}", daemon.child.id(), file.display()));
    let copy = dir.path().join("copy.obit");
    fs::copy(seen, &copy).unwrap();
    let output = replay(&copy);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("before the recording does"), "{said}");
    assert!(String::from_utf8(output.stdout).unwrap().contains("dead"));
    let another = nobody(&place);
    watch_until(dir.path(), another, "dead", &place, || dial(&place, another));
    // Once.
    assert!(!daemon.terminate().contains("takes no more"));
}
