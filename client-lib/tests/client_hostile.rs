//! Servers and resolvers that misbehave: what callers hear, that nothing spins meanwhile, and that nothing is left of a
//! client when it is dropped.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod client_support;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use client_support::get;
use http::Request;
use http_body_util::Full;
use obit::{Client, ClientBuilder, Error, Feed, Idempotent, Protocol};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Handle};
use tokio::task::JoinHandle;

/// How a server misbehaves on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Misbehaviour {
    /// Says nothing at all.
    Mute,
    /// Greets with bytes that are no frames.
    Garbage,
    /// Greets, and answers each request with bytes that are no frames.
    GarbageLater,
    /// Resets every stream.
    ResetsStreams,
    /// Greets, and reads nothing more.
    StopsReading,
    /// Answers HTTP/1.1 requests with nonsense.
    NonsenseInHttp1,
    /// Closes each connection as soon as it is there.
    HangsUp,
}

use Misbehaviour::{Garbage, GarbageLater, HangsUp, Mute, NonsenseInHttp1, ResetsStreams, StopsReading};

const ALL: [Misbehaviour; 7] = [
    Mute,
    Garbage,
    GarbageLater,
    ResetsStreams,
    StopsReading,
    NonsenseInHttp1,
    HangsUp,
];

struct Hostile {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Drop for Hostile {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Hostile {
    async fn new(misbehaviour: Misbehaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = connections.clone();
        let task = tokio::spawn(async move {
            let mut open = tokio::task::JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                count.fetch_add(1, Ordering::SeqCst);
                open.spawn(serve(stream, misbehaviour));
            }
        });
        Self {
            address,
            connections,
            task,
        }
    }

    fn client(&self, misbehaviour: Misbehaviour) -> ClientBuilder {
        builder().endpoints([self.address]).protocol(match misbehaviour {
            NonsenseInHttp1 => Protocol::Http1,
            _ => Protocol::Http2,
        })
    }
}

fn builder() -> ClientBuilder {
    Client::builder("http://pods.test")
        .feed(Feed::offline())
        .connect_timeout(Duration::from_millis(200))
        .queue(100, Duration::from_millis(500))
}

async fn serve(mut stream: TcpStream, misbehaviour: Misbehaviour) {
    let mut seen = [0; 1024];
    match misbehaviour {
        Mute => std::future::pending().await,
        HangsUp => {}
        Garbage => {
            let _ = stream.write_all(&[0xff; 64]).await;
            while stream.read(&mut seen).await.is_ok_and(|read| read > 0) {}
        }
        NonsenseInHttp1 => {
            let _ = stream.read(&mut seen).await;
            let _ = stream.write_all(b"SSH-2.0-OpenSSH\r\n\r\n").await;
        }
        GarbageLater | StopsReading => {
            // An empty SETTINGS frame.
            let _ = stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await;
            if misbehaviour == StopsReading {
                return std::future::pending().await;
            }
            let mut frames = 0;
            while frames < 200 {
                match stream.read(&mut seen).await {
                    Ok(read) if read > 0 => frames += read,
                    _ => return,
                }
            }
            let _ = stream.write_all(&[0xff; 64]).await;
            while stream.read(&mut seen).await.is_ok_and(|read| read > 0) {}
        }
        ResetsStreams => {
            let Ok(mut connection) = h2::server::handshake(stream).await else {
                return;
            };
            while let Some(Ok((_, mut respond))) = connection.accept().await {
                respond.send_reset(h2::Reason::INTERNAL_ERROR);
            }
        }
    }
}

fn upload(bytes: usize) -> Request<Full<Bytes>> {
    let mut request = Request::post("/").body(Full::new(Bytes::from(vec![7; bytes]))).unwrap();
    request.extensions_mut().insert(Idempotent(true));
    request
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_never_becomes_ready_ends_the_wait_with_what_was_met_and_is_not_dialled_in_a_frenzy() {
    for (misbehaviour, said) in [
        (Mute, "did not greet in time"),
        (Garbage, "connection closed"),
        (HangsUp, "connection closed"),
    ] {
        let server = Hostile::new(misbehaviour).await;
        let client = server.client(misbehaviour).build().unwrap();
        let error = client.request(get()).await.unwrap_err();
        assert!(matches!(error, Error::NoEndpoint { .. }), "{misbehaviour:?}: {error:?}");
        assert!(error.to_string().contains(said), "{misbehaviour:?}: {error}");
        tokio::time::sleep(Duration::from_secs(1)).await;
        // 1.5 s of pauses from 25 ms on that double, and one on demand each 100 ms while the call waited.
        let dials = server.connections.load(Ordering::SeqCst);
        assert!((2..=16).contains(&dials), "{misbehaviour:?}: {dials} dials");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_answers_nonsense_fails_the_call_after_a_bounded_number_of_tries() {
    for misbehaviour in [GarbageLater, ResetsStreams, NonsenseInHttp1] {
        let server = Hostile::new(misbehaviour).await;
        let client = server.client(misbehaviour).build().unwrap();
        client.warmed_up(1).await;
        let error = tokio::time::timeout(Duration::from_secs(10), client.request(upload(300)))
            .await
            .unwrap()
            .unwrap_err();
        assert!(
            matches!(error, Error::Connection { .. } | Error::NoEndpoint { .. }),
            "{misbehaviour:?}: {error:?}"
        );
        let dials = server.connections.load(Ordering::SeqCst);
        assert!(dials <= 16, "{misbehaviour:?}: {dials} dials");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_stops_reading_is_waited_for_and_the_caller_may_go() {
    let server = Hostile::new(StopsReading).await;
    let client = server.client(StopsReading).build().unwrap();
    client.warmed_up(1).await;
    // More than both kernels' buffers take.
    let call = client.request(upload(64 << 20));
    assert!(tokio::time::timeout(Duration::from_secs(1), call).await.is_err());
    // Its kernel answers: it is slow, not dead.
    assert_eq!(client.snapshot()[0].phase, obit::Phase::Ready);
    assert_eq!(server.connections.load(Ordering::SeqCst), 1);
    while client.snapshot()[0].in_flight > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_endpoints_that_refuse_end_the_wait_too() {
    let addresses = (0..10_000_u32).map(|number| SocketAddr::from((Ipv4Addr::from(0x7f01_0000 + number), 1)));
    let client = builder().endpoints(addresses).build().unwrap();
    let error = tokio::time::timeout(Duration::from_secs(30), client.request(get()))
        .await
        .unwrap()
        .unwrap_err();
    assert!(matches!(error, Error::NoEndpoint { .. }), "{error:?}");
    while client.snapshot().len() < 10_000 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// What one client does with each of these servers, to its end.
async fn round() {
    for misbehaviour in ALL {
        let server = Hostile::new(misbehaviour).await;
        let client = server.client(misbehaviour).build().unwrap();
        let calls: Vec<_> = (0..20)
            .map(|_| {
                let client = client.clone();
                tokio::spawn(async move {
                    let _ = tokio::time::timeout(Duration::from_millis(100), client.request(upload(100_000))).await;
                })
            })
            .collect();
        for call in calls {
            call.await.unwrap();
        }
    }
}

fn resident_kib() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn sockets() -> usize {
    let descriptors = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
    let targets = descriptors.filter_map(|it| std::fs::read_link(it.path()).ok());
    targets
        .filter(|target| target.to_string_lossy().starts_with("socket:"))
        .count()
}

/// Counts of the whole process, so in a process of its own: this test runs itself again, alone.
#[test]
fn nothing_is_left_of_a_client_that_is_dropped_whatever_it_met() {
    const ALONE: &str = "OBIT_TEST_LEAKS";
    if std::env::var_os(ALONE).is_none() {
        let status = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "nothing_is_left_of_a_client_that_is_dropped_whatever_it_met"])
            .env(ALONE, "1")
            .status();
        assert!(status.unwrap().success());
        return;
    }
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let settled = async |tasks: usize, open: usize| {
            let count = || (Handle::current().metrics().num_alive_tasks(), sockets());
            let settling = async {
                while count().0 > tasks || count().1 > open {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            };
            let settled = tokio::time::timeout(Duration::from_secs(10), settling).await;
            assert!(
                settled.is_ok(),
                "tasks and sockets: {:?}, not {:?}",
                count(),
                (tasks, open)
            );
        };
        let (tasks, open) = (Handle::current().metrics().num_alive_tasks(), sockets());
        // What is allocated once, is.
        for _ in 0..2 {
            round().await;
            settled(tasks, open).await;
        }
        let before = resident_kib();
        for _ in 0..4 {
            round().await;
            settled(tasks, open).await;
        }
        let grown = resident_kib().saturating_sub(before);
        assert!(grown < 8 << 10, "{grown} KiB more after four rounds");
    });
}
