//! `obit monitor --listen` and `obit ready`, with the real binary and the real kernel.
//!
//! Needs root, and `setpriv`; fails where it cannot run.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use obit_monitor::clock;
use rustix::process::{Pid, Signal, kill_process};

/// A port nobody has.
fn free() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .unwrap()
        .local_addr()
        .unwrap()
}

/// Killed if the test forgets it.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Fails if it has ended, as it should have.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    /// SIGTERM; it must end by itself, and cleanly.
    fn terminate(mut self) {
        kill_process(Pid::from_child(&self.0), Signal::TERM).unwrap();
        assert!(self.0.wait().unwrap().success());
    }
}

fn ready(at: SocketAddr) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_obit"));
    command.args(["ready", "--listen", &at.to_string()]).output().unwrap()
}

fn get(at: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(at).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: obit\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_monitor_says_that_it_is_ready_and_what_it_counts() {
    let dir = tempfile::tempdir().unwrap();
    let at = free();
    let mut command = Command::new(env!("CARGO_BIN_EXE_obit"));
    command
        .args(["monitor", "--listen", &at.to_string(), "--socket"])
        .arg(dir.path().join("obit.sock"));
    let mut child = Running(command.stdout(Stdio::piped()).spawn().unwrap());
    let mut line = String::new();
    BufReader::new(child.0.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert!(line.starts_with("ready socket="), "{line:?}");
    let said = ready(at);
    assert!(said.status.success());
    assert_eq!(text(&said.stdout), "ready\n");
    let metrics = get(at, "/metrics");
    assert!(metrics.contains("application/openmetrics-text"), "{metrics}");
    for figure in [
        "obit_ready 1",
        "obit_blind 0",
        "obit_subscribers{namespace=\"\"} 0",
        "obit_notices_total{verdict=\"dead\"} 0",
        "obit_sightings_lost_total{reason=\"ring-full\"} 0",
        "obit_build_info{version=",
        "# EOF",
    ] {
        assert!(metrics.contains(figure), "{figure} is not in {metrics}");
    }
    // It dialled to see that it is heard.
    assert!(
        !metrics.contains("obit_sightings_total{signal=\"refused\"} 0\n"),
        "{metrics}"
    );
    assert!(get(at, "/").starts_with("HTTP/1.1 404 "));
    child.terminate();
}

#[test]
fn a_monitor_that_cannot_work_here_stays_and_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let at = free();
    let mut command = Command::new("setpriv");
    command
        .args(["--inh-caps=-all", "--bounding-set=-all", "--"])
        .args([
            env!("CARGO_BIN_EXE_obit"),
            "monitor",
            "--listen",
            &at.to_string(),
            "--socket",
        ])
        .arg(dir.path().join("obit.sock"));
    let child = Running(command.spawn().unwrap());
    let began = clock::monotonic();
    let said = loop {
        let said = text(&ready(at).stdout);
        if said.starts_with("not ready: ") && !said.contains("starting") {
            break said;
        }
        assert!(clock::monotonic().since(began) < Duration::from_secs(60), "{said:?}");
    };
    assert!(said.contains("CAP_BPF"), "{said}");
    let refused = ready(at);
    assert_eq!(refused.status.code(), Some(1));
    assert!(get(at, "/livez").starts_with("HTTP/1.1 200 "));
    assert!(get(at, "/metrics").contains("obit_ready 0"));
    child.terminate();
}

#[test]
fn where_no_monitor_answers_that_is_said() {
    let said = ready(free());
    assert_eq!(said.status.code(), Some(1));
    assert!(
        text(&said.stderr).contains("no monitor answers at 127.0.0.1:"),
        "{}",
        text(&said.stderr)
    );
}
