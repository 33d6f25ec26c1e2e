//! A monitor that has been taken over: its own process tries what it must not be able to do, while it goes on working.
//!
//! Each test runs itself again, as nobody; that process puts the same parts together as `obit monitor`, and tries.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Stdio};
use std::sync::Arc;

use obit_monitor::canary::Canary;
use obit_monitor::clock;
use obit_monitor::hub::Hub;
use obit_monitor::kernel::{self, Options};
use obit_monitor::privilege::{self, Dials, Keep};
use obit_monitor::reader::ReaderThread;
use obit_monitor::registry::Limits;
use obit_monitor::socket::{self, Settings};
use obit_monitor::stall::Bounds;
use obit_monitor::subscribers::Roll;
use tokio::sync::oneshot;

use crate::attempts::attempts;
use crate::nobody::Nobody;
use crate::subscriber::{Subscriber, a_place};

/// Where the process under test is to listen; set for it alone.
const SOCKET: &str = "OBIT_TEST_SOCKET";

#[test]
fn whoever_takes_it_over_while_it_works_loads_no_program_and_finds_no_way_out() {
    match std::env::var_os(SOCKET) {
        Some(socket) => taken_over(socket.as_ref(), Keep::Nothing, false),
        None => tries_in_vain(
            "inside::whoever_takes_it_over_while_it_works_loads_no_program_and_finds_no_way_out",
            &[],
        ),
    }
}

/// On kernels before 5.19. Here the capability is there, and only the filter stands before `bpf(2)`.
#[test]
fn a_monitor_that_must_keep_a_capability_loads_no_program_with_it() {
    match std::env::var_os(SOCKET) {
        Some(socket) => taken_over(socket.as_ref(), Keep::Bpf, false),
        None => tries_in_vain(
            "inside::a_monitor_that_must_keep_a_capability_loads_no_program_with_it",
            &[],
        ),
    }
}

/// What leads to the network, of what is tried.
const NETWORK: [&str; 3] = [
    "make a datagram socket",
    "make an IPv6 socket",
    "connect to another daemon",
];

/// Where it watches Kubernetes, it must reach the API, and there is no telling the API from others.
#[test]
fn a_monitor_that_watches_kubernetes_finds_no_way_out_but_the_network() {
    match std::env::var_os(SOCKET) {
        Some(socket) => taken_over(socket.as_ref(), Keep::Nothing, true),
        None => tries_in_vain(
            "inside::a_monitor_that_watches_kubernetes_finds_no_way_out_but_the_network",
            &NETWORK,
        ),
    }
}

/// The monitor's parts in this process, and a thread that tries whenever it is told to.
fn taken_over(path: &Path, keep: Keep, network: bool) {
    report();
    let kernel = kernel::start(&Options::default()).unwrap();
    // What `obit monitor` would do here; kernels before 5.19 need more.
    Keep::needed_by(&kernel.filter).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.unwrap().block_on(async {
        let hub = Hub::new(Limits::default(), Box::new(kernel.filter), clock::monotonic());
        let canary = Canary::new(None).unwrap();
        let hub = Arc::new(hub.with_canary(canary.ear()).unwrap());
        let (listener, file) = socket::bind(path, 1).unwrap();
        let (source, sharing) = (kernel.source, Arc::clone(&hub));
        let start = || ReaderThread::spawn(source, sharing, Bounds::default());
        let _reader = privilege::start_without(keep, start).unwrap().unwrap();
        let dials = if network {
            Dials::Network
        } else {
            Dials::With(Some(canary.descriptor()))
        };
        privilege::give_up(keep, dials).unwrap();
        canary.prove().await.unwrap();
        let (end, ended) = oneshot::channel();
        std::thread::spawn(move || {
            println!("\nready");
            for _ in std::io::stdin().lines() {
                report();
            }
            end.send(()).unwrap();
        });
        let end = async { ended.await.unwrap() };
        let roll = Arc::new(Roll::new(None, None));
        socket::serve(listener, hub, None, roll, Settings::default(), end).await;
        drop(file);
    });
}

/// Tries everything and prints what came of it, a line each.
fn report() {
    for (name, errno) in attempts() {
        println!("\ntried {name}={errno}");
    }
    println!("\ntried all=0");
}

/// The process under test, as the other side sees it.
struct UnderTest {
    child: Child,
    said: BufReader<ChildStdout>,
}

impl UnderTest {
    fn start(test: &str, nobody: &Nobody) -> Self {
        let mut child = nobody
            .command("+bpf,+perfmon,+sys_nice")
            .args([test, "--exact", "--nocapture"])
            .env(SOCKET, nobody.socket())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let said = BufReader::new(child.stdout.take().unwrap());
        Self { child, said }
    }

    /// The next thing it says that is not the test runner's.
    fn hear(&mut self) -> String {
        loop {
            let mut line = String::new();
            assert!(self.said.read_line(&mut line).unwrap() > 0, "it ended");
            if line == "ready\n" || line.starts_with("tried ") {
                return line.trim().to_owned();
            }
        }
    }

    /// What it tried, and the error it got; 0 where it succeeded.
    fn attempts(&mut self) -> Vec<(String, i32)> {
        let mut attempts = vec![];
        loop {
            let line = self.hear();
            let (name, errno) = line.strip_prefix("tried ").unwrap().split_once('=').unwrap();
            if name == "all" {
                return attempts;
            }
            attempts.push((name.to_owned(), errno.parse().unwrap()));
        }
    }

    fn tell(&mut self) {
        self.child.stdin.as_mut().unwrap().write_all(b"try\n").unwrap();
    }

    fn end(mut self) {
        drop(self.child.stdin.take());
        std::io::copy(&mut self.said, &mut std::io::sink()).unwrap();
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for UnderTest {
    fn drop(&mut self) {
        // Fails if it has ended, as it should have.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Everything is tried in vain, but for what stays `open`.
fn tries_in_vain(test: &str, open: &[&str]) {
    let nobody = Nobody::with(&std::env::current_exe().unwrap());
    let place = a_place();
    let mut under_test = UnderTest::start(test, &nobody);
    // Before, so that what is denied afterwards is denied by us.
    let before = under_test.attempts();
    assert!(before.len() > 10, "{before:?}");
    for (name, errno) in &before {
        assert_ne!(*errno, libc::EPERM, "{name} is refused anyway");
    }
    assert_eq!(under_test.hear(), "ready");
    let mut subscriber = Subscriber::in_place(&place, &nobody.socket());
    for _ in 0..3 {
        subscriber.sees_a_death(&place);
        under_test.tell();
        subscriber.sees_a_death(&place);
        for (name, errno) in under_test.attempts() {
            assert_eq!(errno == libc::EPERM, !open.contains(&name.as_str()), "{name}: {errno}");
        }
    }
    under_test.end();
    assert!(!nobody.socket().exists(), "it left its socket behind");
}
