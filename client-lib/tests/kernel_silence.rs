//! A real path that goes dead: a veth pair between two network namespaces, its far end taken down with a write unanswered
//! (the silence rule) or with nothing owed (keep-alive). Needs root and ip(8).

#![cfg(feature = "kernel-tests")]
#![allow(clippy::unwrap_used, reason = "tests")]

use std::net::SocketAddr;
use std::pin::Pin;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use hyper::rt::{Read, Write};
use obit::Feed;
use obit::connection::{CADENCE, DialOptions, GuardedTcp, Silence, SilenceRule, dial};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::time::Instant;

static PATHS: AtomicU32 = AtomicU32::new(0);

/// Two namespaces named after this process, removed when dropped.
struct Path {
    near: String,
    far: String,
}

fn ip(arguments: &str) {
    let output = Command::new("ip")
        .args(arguments.split(' '))
        .output()
        .expect("ip(8) runs");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "ip {arguments}: {complaint} (this test needs root)"
    );
}

impl Path {
    fn make() -> Self {
        let number = PATHS.fetch_add(1, Ordering::Relaxed);
        let id = format!("{}-{number}", std::process::id());
        let path = Self {
            near: format!("obit-near-{id}"),
            far: format!("obit-far-{id}"),
        };
        let Self { near, far } = &path;
        ip(&format!("netns add {near}"));
        ip(&format!("netns add {far}"));
        ip(&format!(
            "-n {near} link add veth0 type veth peer name veth0 netns {far}"
        ));
        for (namespace, address) in [(near, "198.18.7.1/24"), (far, "198.18.7.2/24")] {
            ip(&format!("-n {namespace} address add {address} dev veth0"));
            ip(&format!("-n {namespace} link set veth0 up"));
        }
        path
    }

    /// From now on what is sent arrives nowhere, and nobody is told: the near end keeps its carrier and its neighbour.
    fn cut(&self) {
        ip(&format!("-n {} address flush dev veth0", self.far));
        ip(&format!("-n {} link set veth0 arp off", self.far));
    }
}

impl Drop for Path {
    fn drop(&mut self) {
        for namespace in [&self.near, &self.far] {
            _ = Command::new("ip").args(["netns", "delete", namespace]).status();
        }
    }
}

/// Runs `work` on a thread of its own inside a network namespace.
fn inside<T: Send + 'static>(namespace: &str, work: impl FnOnce() -> T + Send + 'static) -> std::thread::JoinHandle<T> {
    let file = std::fs::File::open(format!("/run/netns/{namespace}")).unwrap();
    std::thread::spawn(move || {
        #[expect(unsafe_code, reason = "the standard library has no setns")]
        // SAFETY: the descriptor is open, and only this thread changes its namespace.
        let result = unsafe { libc::setns(std::os::fd::AsRawFd::as_raw_fd(&file), libc::CLONE_NEWNET) };
        assert_eq!(result, 0, "this test needs root");
        work()
    })
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(future)
}

async fn write(io: &mut GuardedTcp, bytes: &[u8]) {
    std::future::poll_fn(|cx| Pin::new(&mut *io).poll_write(cx, bytes))
        .await
        .unwrap();
}

/// A server at the far end that reads four bytes and then does nothing: from there on its kernel alone answers. It ends when
/// told that it is done.
fn silent_server(path: &Path) -> (std::thread::JoinHandle<()>, tokio::sync::oneshot::Sender<()>) {
    let (listening, listens) = std::sync::mpsc::channel();
    let (done, finished) = tokio::sync::oneshot::channel::<()>();
    let server = inside(&path.far, move || {
        block_on(async {
            let listener = TcpListener::bind("198.18.7.2:8080").await.unwrap();
            listening.send(()).unwrap();
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.read_exact(&mut [0; 4]).await.unwrap();
            _ = finished.await;
        });
    });
    listens.recv().unwrap();
    (server, done)
}

#[tokio::test]
async fn a_path_that_goes_dead_is_suspected_after_the_threshold_and_a_slow_process_never() {
    let path = Path::make();
    let (server, done) = silent_server(&path);

    let (cut, cutting) = std::sync::mpsc::channel();
    let (has_cut, is_cut) = std::sync::mpsc::channel();
    let client = inside(&path.near, move || {
        block_on(async {
            let peer: SocketAddr = "198.18.7.2:8080".parse().unwrap();
            let mut io = dial(&Feed::offline(), peer, &DialOptions::default()).await.unwrap();
            let probe = io.handle().probe();
            write(&mut io, b"ping").await;

            // A process that does not answer for 300 ms, under a kernel that lives.
            let mut rule = SilenceRule::default();
            let mut ticks = tokio::time::interval(CADENCE);
            for _ in 0..60 {
                ticks.tick().await;
                write(&mut io, b"more").await;
                assert!(rule.observe(&probe.sample().unwrap()) < Silence::Suspect);
            }
            while probe.unacknowledged_bytes() != Some(0) {
                ticks.tick().await;
            }

            cut.send(()).unwrap();
            is_cut.recv().unwrap();
            let (mut rule, mut dial_after) = (SilenceRule::default(), None);
            write(&mut io, b"lost").await;
            let written = now();
            let suspect_after = loop {
                ticks.tick().await;
                match rule.observe(&probe.sample().unwrap()) {
                    Silence::Quiet => {}
                    Silence::Dial => {
                        dial_after.get_or_insert(written.elapsed());
                    }
                    Silence::Suspect => break written.elapsed(),
                }
                assert!(written.elapsed() < Duration::from_secs(5), "never suspected");
            };
            (dial_after, suspect_after)
        })
    });
    cutting.recv().unwrap();
    path.cut();
    has_cut.send(()).unwrap();
    let (dial_after, suspect_after) = client.join().unwrap();
    println!("dial after {dial_after:?}, suspect after {suspect_after:?}");
    assert!(
        dial_after.is_some_and(|after| after >= Duration::from_millis(45)),
        "{dial_after:?}"
    );
    assert!(suspect_after >= Duration::from_millis(60), "{suspect_after:?}");
    // 60 ms, a second sample, and what a busy machine adds.
    assert!(suspect_after < Duration::from_millis(250), "{suspect_after:?}");
    done.send(()).unwrap();
    server.join().unwrap();
}

#[tokio::test]
async fn a_call_whose_node_is_lost_after_it_was_acknowledged_does_not_wait_for_ever() {
    let path = Path::make();
    let (server, done) = silent_server(&path);

    let (cut, cutting) = std::sync::mpsc::channel();
    let client = inside(&path.near, move || {
        block_on(async {
            let peer: SocketAddr = "198.18.7.2:8080".parse().unwrap();
            let mut options = DialOptions::default();
            options.keep_alive = Some(Duration::from_secs(1));
            let mut io = dial(&Feed::offline(), peer, &options).await.unwrap();
            let probe = io.handle().probe();
            write(&mut io, b"call").await;
            let mut ticks = tokio::time::interval(CADENCE);
            while probe.unacknowledged_bytes() != Some(0) {
                ticks.tick().await;
            }
            cut.send(()).unwrap();
            let mut storage = [0_u8; 16];
            let read = std::future::poll_fn(|cx| {
                let mut buffer = hyper::rt::ReadBuf::new(&mut storage);
                Pin::new(&mut io).poll_read(cx, buffer.unfilled())
            });
            tokio::time::timeout(Duration::from_secs(60), read).await
        })
    });
    cutting.recv().unwrap();
    path.cut();
    let read = client.join().unwrap().expect("the connection ends by itself");
    assert_eq!(read.unwrap_err().kind(), std::io::ErrorKind::TimedOut);
    done.send(()).unwrap();
    server.join().unwrap();
}

#[expect(clippy::disallowed_methods, reason = "measures real time")]
fn now() -> Instant {
    Instant::now()
}
