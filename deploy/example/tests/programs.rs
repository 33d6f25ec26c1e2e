//! The program itself: a server and its callers on loopback.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use obit_example::lines::Line;
use rustix::process::{Pid, Signal, kill_process};

/// A process of the test's, gone with it.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn example(arguments: &[&str]) -> Running {
    let mut command = Command::new(env!("CARGO_BIN_EXE_obit-example"));
    command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    // No monitor of this machine has a part in it.
    command
        .env("OBIT_SOCKET", "/nonexistent/obit.sock")
        .env_remove("RUST_LOG")
        .env_remove("POD_NAME");
    Running(command.spawn().expect("it was built for this test"))
}

/// A server called `name` that listens, what it goes on to say, and its port.
fn serve(name: &str) -> (Running, impl Iterator<Item = String>, u16) {
    let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = free.local_addr().expect("it is bound").port();
    drop(free);
    let listen = format!("127.0.0.1:{port}");
    let mut server = example(&[
        "serve",
        "--listen",
        &listen,
        "--name",
        name,
        "--delay-ms",
        "1",
        "--leave-ms",
        "1",
    ]);
    let log = server.0.stderr.take().expect("it is piped");
    let mut lines = BufReader::new(log).lines().map_while(Result::ok);
    assert!(
        lines.any(|line| line.contains("listening")),
        "it ended before it listened"
    );
    (server, lines, port)
}

fn lines(callers: &mut Running) -> Vec<Line> {
    let printed = callers.0.stdout.take().expect("it is piped");
    let lines = BufReader::new(printed).lines().map_while(Result::ok);
    lines
        .map(|line| serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line}: {error}")))
        .collect()
}

#[test]
fn callers_say_who_answered_and_how_fast() {
    let (_server, _log, port) = serve("pod-a");
    for client in ["obit", "obit-dns", "tonic"] {
        let origin = format!("http://localhost:{port}");
        let mut callers = example(&[
            "call", "--client", client, "--origin", &origin, "--rate", "100", "--for", "2",
        ]);
        let lines = lines(&mut callers);
        assert!(
            matches!(&lines[0], Line::Start { client: named, .. } if named == client),
            "{:?}",
            lines[0]
        );
        assert!(
            matches!(&lines[1], Line::Pod { pod, .. } if pod == "pod-a"),
            "{:?}",
            lines[1]
        );
        let seconds = lines.iter().filter(|line| matches!(line, Line::Second { .. })).count();
        assert_eq!(seconds, 2, "{lines:?}");
        let Some(Line::End { figures, .. }) = lines.last() else {
            panic!("no end: {lines:?}");
        };
        assert_eq!(
            (figures.failed, figures.pods.get("pod-a")),
            (0, Some(&figures.ok)),
            "{figures:?}"
        );
        // 200 turns; a busy machine leaves some out.
        assert!((20..=210).contains(&figures.ok), "{figures:?}");
    }
}

#[test]
fn a_server_leaves_at_sigterm_with_its_last_call() {
    let (mut server, mut log, _) = serve("pod-b");
    let pid = Pid::from_child(&server.0);
    kill_process(pid, Signal::TERM).expect("it runs, and is ours");
    assert!(log.any(|line| line.contains("leaving")), "it went without a word");
    assert!(server.0.wait().expect("it is ours").success());
}

#[test]
fn a_name_that_is_none_is_said_to_be_none() {
    let mut callers = example(&["call", "--service", "Not_A_Name", "--for", "1"]);
    let said = BufReader::new(callers.0.stderr.take().expect("it is piped"))
        .lines()
        .map_while(Result::ok);
    let said: Vec<String> = said.collect();
    assert!(said.iter().any(|line| line.contains("Not_A_Name")), "{said:?}");
    assert_eq!(callers.0.wait().expect("it is ours").code(), Some(1));
}
