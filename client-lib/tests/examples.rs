//! The examples, run as they are built, against real servers: one of them dies, and the calls go on.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod support;

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use obit_protocol::{Reason, Verdict};
use support::{LiveMonitor, Server};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tonic::transport::server::TcpIncoming;

/// A gRPC server with the health service, on threads of its own: when it dies, so do its connections.
struct HealthServer {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    runtime: Runtime,
}

impl HealthServer {
    fn start() -> Self {
        let runtime = Runtime::new().unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = connections.clone();
        runtime.spawn(async move {
            let (_reporter, service) = tonic_health::server::health_reporter();
            let incoming = TcpIncoming::from(TcpListener::from_std(listener).unwrap()).inspect(move |_| {
                counted.fetch_add(1, Ordering::SeqCst);
            });
            let server = tonic::transport::Server::builder().add_service(service);
            server.serve_with_incoming(incoming).await.unwrap();
        });
        Self {
            address,
            connections,
            runtime,
        }
    }

    fn die(self) {
        self.runtime.shutdown_background();
    }
}

/// An example at work; killed when dropped.
struct Example {
    process: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Drop for Example {
    fn drop(&mut self) {
        // It may have ended by itself.
        _ = self.process.kill();
        _ = self.process.wait();
    }
}

impl Example {
    fn start(name: &str, arguments: &[String], monitor: &LiveMonitor) -> Self {
        // Tests and examples are built into neighbouring folders.
        let tests = std::env::current_exe().unwrap();
        let built: PathBuf = tests.ancestors().nth(2).unwrap().join("examples").join(name);
        assert!(
            built.exists(),
            "{} is not built: run `cargo build -p obit --examples --all-features`",
            built.display()
        );
        let mut process = Command::new(built)
            .args(arguments)
            .env("OBIT_SOCKET", monitor.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            stdin: process.stdin.take().unwrap(),
            stdout: BufReader::new(process.stdout.take().unwrap()),
            process,
        }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// Has it make a call; what came of it.
    fn call(&mut self) -> String {
        self.stdin.write_all(b"\n").unwrap();
        self.line()
    }
}

/// The monitor says that a peer died and is back, of which its server knows nothing.
async fn dies_and_is_back(monitor: &LiveMonitor, peer: SocketAddr) {
    monitor.watching(peer).await;
    monitor.say(peer, Verdict::Dead, Reason::Unreachable);
    monitor.say(peer, Verdict::Alive, Reason::Handshake);
}

/// What is waited for happens in another process and says nothing.
#[expect(clippy::disallowed_methods, reason = "another process gives no event to wait for")]
fn pause() {
    std::thread::sleep(Duration::from_millis(20));
}

/// Calls until `reached`: what is waited for happens in another process.
fn until(what: &str, mut reached: impl FnMut() -> bool) {
    assert!((0..1_000).any(|_| reached()), "{what}: not within a thousand calls");
}

/// Two servers, one of which dies after both have served; the calls go on, and where the example repeats what may be
/// repeated, each is answered.
async fn one_of_two_dies(example: &str, repeats: bool) {
    let monitor = LiveMonitor::start();
    let [one, other] = [HealthServer::start(), HealthServer::start()];
    let mut example = Example::start(example, &[one.address.to_string(), other.address.to_string()], &monitor);
    for _ in 0..4 {
        assert_eq!(example.call(), "SERVING");
    }
    let dead = one.address;
    monitor.watching(dead).await;
    one.die();
    monitor.say(dead, Verdict::Dead, Reason::Refused);
    // A call under way to a server that dies is lost, unless somebody repeats it.
    let mut answered = 0;
    until("eight answers in a row", || {
        let answer = example.call();
        answered = if answer == "SERVING" { answered + 1 } else { 0 };
        assert!(answered > 0 || !repeats, "{answer}");
        answered == 8
    });
    other.die();
}

/// A server dies after it has served, beside another; every call is answered.
async fn no_call_is_lost(monitor: &LiveMonitor, dying: Server, mut call: impl AsyncFnMut() -> String) {
    for _ in 0..4 {
        assert_eq!(call().await, "200 OK");
    }
    let dead = dying.address;
    monitor.watching(dead).await;
    drop(dying);
    monitor.say(dead, Verdict::Dead, Reason::Refused);
    for _ in 0..8 {
        assert_eq!(call().await, "200 OK");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_generated_tonic_client_over_the_balanced_client_loses_no_call() {
    one_of_two_dies("tonic_balanced", true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tonics_balanced_channel_goes_on_with_the_living() {
    one_of_two_dies("tonic_balance_channel", false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tonic_channel_calls_through_the_connector_and_hears_of_a_death() {
    let monitor = LiveMonitor::start();
    let server = HealthServer::start();
    let mut example = Example::start("tonic_channel", &[format!("http://{}", server.address)], &monitor);
    assert_eq!(example.call(), "SERVING");
    assert_eq!(server.connections.load(Ordering::SeqCst), 1);
    dies_and_is_back(&monitor, server.address).await;
    // What was said reaches the example when it does; a call under way meanwhile may end with the connection.
    until("another connection", || {
        let answer = example.call();
        assert!(answer == "SERVING" || answer.starts_with("failed: "), "{answer}");
        server.connections.load(Ordering::SeqCst) == 2
    });
    assert_eq!(example.call(), "SERVING");
    server.die();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connectrpc_over_the_balanced_client_loses_no_call() {
    let monitor = LiveMonitor::start();
    let [one, other] = [Server::start().await, Server::start().await];
    let mut example = Example::start(
        "connectrpc",
        &[one.address.to_string(), other.address.to_string()],
        &monitor,
    );
    no_call_is_lost(&monitor, one, async || example.call()).await;
}

/// Calls on one connection until its peer dies and is back, and then on another.
async fn another_connection_after_a_death(example: &str, host: &str) {
    let monitor = LiveMonitor::start();
    let server = Server::start().await;
    let url = format!("http://{host}:{}/", server.address.port());
    let mut example = Example::start(example, &[url], &monitor);
    let ok = "200 OK, 5 bytes";
    // A connection is back in the client's pool a moment after the answer.
    let mut connections = 0;
    let mut kept = 0;
    until("three calls on one connection", || {
        assert_eq!(example.call(), ok);
        pause();
        kept = if server.connections() == connections {
            kept + 1
        } else {
            0
        };
        connections = server.connections();
        kept == 3
    });
    let mut calls = 0;
    monitor.watching(server.address).await;
    until("another connection", || {
        // Said again on a machine so busy that the example had not found its own connection yet.
        if calls % 100 == 0 {
            monitor.say(server.address, Verdict::Dead, Reason::Unreachable);
            monitor.say(server.address, Verdict::Alive, Reason::Handshake);
        }
        calls += 1;
        let answer = example.call();
        assert!(answer == ok || answer.starts_with("failed: "), "{answer}");
        pause();
        server.connections() > connections
    });
    until("an answer", || example.call() == ok);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hyper_utils_client_calls_through_the_connector_and_dials_anew_after_a_death() {
    another_connection_after_a_death("hyper_util", "127.0.0.1").await;
}

#[cfg(feature = "reqwest")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reqwests_connection_ends_with_its_peer_and_the_next_call_dials_anew() {
    another_connection_after_a_death("reqwest", "localhost").await;
}

#[cfg(feature = "reqwest")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_of_reqwests_that_would_hang_for_ever_fails_when_its_peer_dies() {
    let monitor = LiveMonitor::start();
    let server = Server::start().await;
    let url = format!("http://localhost:{}/hang", server.address.port());
    let mut example = Example::start("reqwest", &[url], &monitor);
    let call = std::thread::spawn(move || example.call());
    server.requests(1).await;
    monitor.watching(server.address).await;
    // The first words may be of a time when the connection was too young to be known.
    until("the end of the call", || {
        monitor.say(server.address, Verdict::Dead, Reason::Unreachable);
        pause();
        call.is_finished()
    });
    let failure = call.join().unwrap();
    assert!(failure.starts_with("failed: "), "{failure}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reverse_proxy_goes_on_with_the_living() {
    let monitor = LiveMonitor::start();
    let [one, other] = [Server::start().await, Server::start().await];
    let mut example = Example::start(
        "axum_proxy",
        &[one.address.to_string(), other.address.to_string()],
        &monitor,
    );
    let proxy = example.line();
    let client = hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new())
        .build_http::<http_body_util::Empty<bytes::Bytes>>();
    let get = async || {
        let uri = format!("http://{proxy}/cart?of=7").parse().unwrap();
        client.get(uri).await.unwrap().status().to_string()
    };
    no_call_is_lost(&monitor, one, get).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resolver_of_ones_own_is_followed_as_its_source_changes() {
    let monitor = LiveMonitor::start();
    let [one, other] = [Server::start().await, Server::start().await];
    let directory = tempfile::TempDir::new().unwrap();
    let file = directory.path().join("endpoints.txt");
    std::fs::write(&file, format!("{} a\n", one.address)).unwrap();
    let mut example = Example::start("custom_resolver", &[file.display().to_string()], &monitor);
    assert_eq!(example.call(), "200 OK");
    assert_eq!(other.connections(), 0);
    // A file that is being written is no source.
    let complete = directory.path().join("complete");
    std::fs::write(&complete, format!("{} b\nno address\n", other.address)).unwrap();
    std::fs::rename(&complete, &file).unwrap();
    monitor.watching(other.address).await;
    drop(one);
    until("the other server's answer", || {
        assert_eq!(example.call(), "200 OK");
        other.connections() > 0
    });
    assert_eq!(example.call(), "200 OK");
    other.requests(1).await;
}
