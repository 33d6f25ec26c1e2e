//! Calls a second and processor time a call, side by side in one run: bare hyper, `obit::Client`, tonic's
//! `balance_list`, and tonic over `obit::Client`. 500 callers, answers after 10 ms, 5 servers in one other process.
//!
//! `cargo bench -p obit --bench throughput`; `ROUNDS` (5) and `CALLS` (150 000) in the environment change its size. Rounds
//! alternate, so that a disturbance hits everyone; the medians are printed.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on stops")]

mod common;

use std::convert::Infallible;
use std::future::Future;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use common::{median, setting};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use obit::{Client, Feed};
use tonic::client::{Grpc, GrpcService};
use tonic::codegen::http::uri::PathAndQuery;
use tonic_prost::ProstCodec;

const SERVERS: usize = 5;
const AT_ONCE: usize = 500;
const THINKING: Duration = Duration::from_millis(10);
const PATH: &str = "/demo.v1.Demo/Say";
const SERVER_ENV: &str = "OBIT_BENCH_SERVER";
/// An empty gRPC message.
const MESSAGE: Bytes = Bytes::from_static(&[0; 5]);

fn main() {
    if std::env::var_os(SERVER_ENV).is_some() {
        return serve();
    }
    let (rounds, calls) = (setting("ROUNDS", 5), setting("CALLS", 150_000));
    let servers = Servers::start();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let mut results: [Vec<Round>; 4] = Default::default();
    for round in 0..rounds {
        for step in 0..results.len() {
            let contender = (round + step) % results.len();
            results[contender].push(runtime.block_on(compete(contender, &servers.addresses, calls)));
        }
    }
    let bare = median(results[0].iter().map(|round| round.cpu_us));
    println!(
        "{:<14} {:>9} {:>12} {:>10}",
        "client", "calls/s", "cpu us/call", "cpu ratio"
    );
    for (name, rounds) in ["hyper", "obit", "tonic", "tonic on obit"].into_iter().zip(&results) {
        let cpu = median(rounds.iter().map(|round| round.cpu_us));
        let rate = median(rounds.iter().map(|round| round.per_second));
        println!("{name:<14} {rate:>9.0} {cpu:>12.2} {:>10.3}", cpu / bare);
    }
}

struct Round {
    per_second: f64,
    cpu_us: f64,
}

async fn compete(contender: usize, servers: &[SocketAddr], calls: usize) -> Round {
    match contender {
        0 => {
            let mut lanes = Vec::new();
            for server in servers {
                lanes.push(bare(*server).await);
            }
            let (lanes, next) = (Arc::new(lanes), Arc::new(AtomicUsize::new(0)));
            measure(calls, move || {
                let lane = next.fetch_add(1, Ordering::Relaxed) % lanes.len();
                let mut lane = lanes[lane].clone();
                async move {
                    let answer = lane.send_request(request("http://bench")).await.unwrap();
                    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), MESSAGE);
                }
            })
            .await
        }
        1 => {
            let client = obit_client(servers).await;
            measure(calls, move || {
                let client = client.clone();
                async move {
                    let answer = client.request(request("")).await.unwrap();
                    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), MESSAGE);
                }
            })
            .await
        }
        2 => {
            let endpoints = servers.iter().map(|server| format!("http://{server}").parse().unwrap());
            let channel = tonic::transport::Channel::balance_list(endpoints);
            measure(calls, move || unary(channel.clone())).await
        }
        _ => {
            let client = obit_client(servers).await;
            measure(calls, move || unary(client.clone())).await
        }
    }
}

/// A warm-up of one call for each caller, then `calls` calls by [`AT_ONCE`] callers.
async fn measure<F, C>(calls: usize, call: F) -> Round
where
    F: Fn() -> C + Clone + Send + Sync + 'static,
    C: Future<Output = ()> + Send,
{
    run(AT_ONCE, call.clone()).await;
    let (cpu, begun) = (cpu_time(), now());
    run(calls, call).await;
    let (cpu, elapsed) = (cpu_time() - cpu, now() - begun);
    #[expect(clippy::cast_precision_loss, reason = "a count of calls")]
    let calls = calls as f64;
    Round {
        per_second: calls / elapsed.as_secs_f64(),
        cpu_us: cpu.as_secs_f64() * 1e6 / calls,
    }
}

async fn run<F, C>(calls: usize, call: F)
where
    F: Fn() -> C + Clone + Send + Sync + 'static,
    C: Future<Output = ()> + Send,
{
    let left = Arc::new(AtomicUsize::new(calls));
    let callers: Vec<_> = (0..AT_ONCE)
        .map(|_| {
            let (left, call) = (left.clone(), call.clone());
            tokio::spawn(async move {
                while left
                    .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1))
                    .is_ok()
                {
                    call().await;
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
}

async fn bare(server: SocketAddr) -> SendRequest<Full<Bytes>> {
    let stream = tokio::net::TcpStream::connect(server).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    sender
}

async fn obit_client(servers: &[SocketAddr]) -> Client {
    let client = Client::builder("http://bench")
        .feed(Feed::offline())
        .endpoints(servers.iter().copied())
        .build()
        .unwrap();
    let mut events = client.events();
    while client
        .snapshot()
        .iter()
        .filter(|endpoint| endpoint.phase == obit::Phase::Ready)
        .count()
        < SERVERS
    {
        events.recv().await.unwrap();
    }
    client
}

fn request(origin: &str) -> Request<Full<Bytes>> {
    let request = Request::post(format!("{origin}{PATH}"));
    let request = request
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    request.body(Full::new(MESSAGE)).unwrap()
}

async fn unary<S>(service: S)
where
    S: GrpcService<tonic::body::Body>,
    S::ResponseBody: http_body::Body<Data = Bytes> + Send + 'static,
    <S::ResponseBody as http_body::Body>::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send,
    S::Error: std::fmt::Debug,
{
    let mut grpc = Grpc::new(service);
    grpc.ready().await.unwrap();
    let (path, codec) = (PathAndQuery::from_static(PATH), ProstCodec::<(), ()>::default());
    grpc.unary(tonic::Request::new(()), path, codec).await.unwrap();
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
fn now() -> Instant {
    Instant::now()
}

/// User and system time of this process.
#[expect(
    unsafe_code,
    reason = "the standard library does not tell a process's own processor time"
)]
fn cpu_time() -> Duration {
    // SAFETY: all zeroes is a valid rusage, which is numbers only.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: `usage` is writable for the whole call.
    assert_eq!(unsafe { libc::getrusage(libc::RUSAGE_SELF, &raw mut usage) }, 0);
    let time = |time: libc::timeval| {
        Duration::from_secs(time.tv_sec.try_into().unwrap()) + Duration::from_micros(time.tv_usec.try_into().unwrap())
    };
    time(usage.ru_utime) + time(usage.ru_stime)
}

/// The servers' process; ends when its standard input does.
struct Servers {
    child: Child,
    addresses: Vec<SocketAddr>,
}

impl Servers {
    fn start() -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .env(SERVER_ENV, "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let addresses = lines.take(SERVERS).map(|line| line.unwrap().parse().unwrap()).collect();
        Self { child, addresses }
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

fn serve() {
    std::thread::spawn(|| {
        let _ = std::io::stdin().read(&mut [0]);
        std::process::exit(0);
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut listeners = Vec::new();
        for _ in 0..SERVERS {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            println!("{}", listener.local_addr().unwrap());
            listeners.push(tokio::spawn(accept(listener)));
        }
        for listener in listeners {
            listener.await.unwrap();
        }
    });
}

async fn accept(listener: tokio::net::TcpListener) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .max_concurrent_streams(1000)
            .serve_connection(TokioIo::new(stream), hyper::service::service_fn(answer));
        tokio::spawn(connection);
    }
}

async fn answer(
    request: Request<Incoming>,
) -> Result<Response<impl http_body::Body<Data = Bytes, Error = Infallible>>, hyper::Error> {
    request.into_body().collect().await?;
    tokio::time::sleep(THINKING).await;
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let frames = [Ok(Frame::data(MESSAGE)), Ok(Frame::trailers(trailers))];
    let mut response = Response::new(StreamBody::new(futures_util::stream::iter(frames)));
    response
        .headers_mut()
        .insert("content-type", HeaderValue::from_static("application/grpc"));
    Ok(response)
}
