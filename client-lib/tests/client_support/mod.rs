//! A pod for tests: an HTTP echo server that can hold its answers, drain, and die.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    missing_docs,
    reason = "each test binary uses its part"
)]

use std::future::Future;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use obit::{Client, ClientBuilder, Feed, Phase};
use socket2::{SockFilter, SockRef};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

/// The header that names a call; the server counts each name it processes.
pub const CALL_ID: &str = "call-id";

/// Where a server says how it is. Not counted among the calls it processed.
pub const HEALTH_PATH: &str = "/healthz";

pub struct Server {
    address: SocketAddr,
    /// Bound and never listening: while the server is dead, nobody else is given its port.
    _reserved: TcpSocket,
    state: Arc<State>,
    accepting: Mutex<Option<JoinHandle<()>>>,
}

struct State {
    ids: Mutex<Vec<u64>>,
    processed: AtomicUsize,
    present: AtomicUsize,
    most: AtomicUsize,
    /// Whether calls are answered with 500, and of how many one is not.
    failing: AtomicUsize,
    /// Whether it says so when asked how it is.
    unwell: AtomicBool,
    /// How many calls are being held.
    held: watch::Sender<usize>,
    /// `None`: answers at once.
    gate: Mutex<Option<Arc<Semaphore>>>,
    /// How many connections are open and not deaf.
    connections: watch::Sender<usize>,
    /// How many connections there ever were.
    welcomed: watch::Sender<usize>,
    /// Changed when the server dies: every connection is dropped as it is.
    death: watch::Sender<bool>,
    /// Counts the drains: every connection older than one ends in good order.
    drain: watch::Sender<usize>,
    /// Changed when the server vanishes.
    vanished: watch::Sender<bool>,
    /// Whether what comes on the connections that are open is lost.
    lost: watch::Sender<bool>,
    /// Connections on which it is.
    losing: watch::Sender<usize>,
    /// Changed when no dial is to be answered any more.
    full: watch::Sender<bool>,
    /// Changed when the listener is deaf.
    unreachable: watch::Sender<bool>,
}

impl Server {
    pub async fn several(count: usize) -> Vec<Self> {
        let mut servers = Vec::new();
        for _ in 0..count {
            servers.push(Self::at("127.0.0.1:0".parse().unwrap()).await);
        }
        servers
    }

    pub async fn with_streams(streams: u32) -> Self {
        Self::start("127.0.0.1:0".parse().unwrap(), Speaks::http2(streams)).await
    }

    pub async fn at(address: SocketAddr) -> Self {
        Self::start(address, Speaks::http2(1000)).await
    }

    pub async fn speaking(speaks: Speaks) -> Self {
        Self::start("127.0.0.1:0".parse().unwrap(), speaks).await
    }

    async fn start(address: SocketAddr, speaks: Speaks) -> Self {
        let reserved = bound(address);
        let address = reserved.local_addr().unwrap();
        let listener = bound(address).listen(1024).unwrap();
        let state = Arc::new(State {
            ids: Mutex::default(),
            processed: AtomicUsize::new(0),
            present: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
            failing: AtomicUsize::new(0),
            unwell: AtomicBool::new(false),
            held: watch::Sender::new(0),
            gate: Mutex::default(),
            connections: watch::Sender::new(0),
            welcomed: watch::Sender::new(0),
            death: watch::Sender::new(false),
            drain: watch::Sender::new(0),
            vanished: watch::Sender::new(false),
            lost: watch::Sender::new(false),
            losing: watch::Sender::new(0),
            full: watch::Sender::new(false),
            unreachable: watch::Sender::new(false),
        });
        let accepting = Mutex::new(Some(tokio::spawn(accept(listener, state.clone(), speaks))));
        Self {
            address,
            _reserved: reserved,
            state,
            accepting,
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn processed(&self) -> usize {
        self.state.processed.load(Ordering::SeqCst)
    }

    pub fn most_at_once(&self) -> usize {
        self.state.most.load(Ordering::SeqCst)
    }

    pub fn ids(&self) -> Vec<u64> {
        self.state.ids.lock().unwrap().clone()
    }

    /// From now on calls are answered with 500, but for each `nth`; 0 for none.
    pub fn fail_all_but_each(&self, nth: usize) {
        self.state.failing.store(nth, Ordering::SeqCst);
    }

    /// What it says at [`HEALTH_PATH`].
    pub fn say_well(&self, well: bool) {
        self.state.unwell.store(!well, Ordering::SeqCst);
    }

    /// From now on calls are received and not answered.
    pub fn hold(&self) {
        *self.state.gate.lock().unwrap() = Some(Arc::new(Semaphore::new(0)));
    }

    /// Answers what is held, and everything after.
    pub fn release(&self) {
        if let Some(gate) = self.state.gate.lock().unwrap().take() {
            gate.close();
        }
    }

    /// Waits until so many calls are held.
    pub async fn holds(&self, calls: usize) {
        self.state
            .held
            .subscribe()
            .wait_for(|held| *held >= calls)
            .await
            .unwrap();
    }

    /// The process is killed: once this returns, the listener and every connection are closed, whatever was going on.
    pub async fn die(&self) {
        let accepting = self.accepting.lock().unwrap().take();
        if let Some(accepting) = accepting {
            accepting.abort();
            let _ = accepting.await;
        }
        self.state.death.send_replace(true);
        self.deserted().await;
    }

    /// Says GOAWAY on every connection, and ends each when its calls are answered. Goes on listening.
    pub fn drain(&self) {
        self.state.drain.send_modify(|drains| *drains += 1);
    }

    /// The node is lost: once this returns, not even its kernel answers, nor says goodbye. A call sent before may still
    /// be acknowledged, and then nothing is owed to it.
    pub async fn vanish(&self) {
        self.state.vanished.send_replace(true);
        self.unreachable().await;
        self.deserted().await;
    }

    /// Whether what comes on the connections that are open is lost, as on a path that forgot them, once this returns. New ones are not
    /// concerned.
    pub async fn lose(&self, lost: bool) {
        let wanted = if lost { *self.state.connections.borrow() } else { 0 };
        self.state.lost.send_replace(lost);
        let mut losing = self.state.losing.subscribe();
        losing.wait_for(|count| *count == wanted).await.unwrap();
    }

    /// As with a full accept queue: once this returns, dials are not answered, and who is connected is served.
    pub async fn be_full(&self) {
        self.state.full.send_replace(true);
        self.unreachable().await;
    }

    /// Waits until its listener is deaf.
    async fn unreachable(&self) {
        self.state
            .unreachable
            .subscribe()
            .wait_for(|unreachable| *unreachable)
            .await
            .unwrap();
    }

    /// Waits until so many connections are open.
    pub async fn has(&self, connections: usize) {
        self.state
            .connections
            .subscribe()
            .wait_for(|count| *count >= connections)
            .await
            .unwrap();
    }

    /// Waits until so many connections were opened, whatever became of them.
    pub async fn welcomed(&self, connections: usize) {
        self.state
            .welcomed
            .subscribe()
            .wait_for(|count| *count >= connections)
            .await
            .unwrap();
    }

    /// How many connections are open.
    pub fn connected(&self) -> usize {
        *self.state.connections.borrow()
    }

    /// Waits until no connection is left that hears anything.
    pub async fn deserted(&self) {
        self.state
            .connections
            .subscribe()
            .wait_for(|count| *count == 0)
            .await
            .unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(accepting) = self.accepting.get_mut().unwrap().take() {
            accepting.abort();
        }
    }
}

fn bound(address: SocketAddr) -> TcpSocket {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind(address).unwrap();
    socket
}

async fn accept(listener: TcpListener, state: Arc<State>, speaks: Speaks) {
    let (mut vanished, mut full) = (state.vanished.subscribe(), state.full.subscribe());
    loop {
        let silent = async {
            tokio::select! {
                vanished = vanished.wait_for(|vanished| *vanished) => drop(vanished),
                full = full.wait_for(|full| *full) => drop(full),
            }
        };
        let stream = tokio::select! {
            accepted = listener.accept() => accepted.unwrap().0,
            () = silent => {
                deafen(&listener);
                state.unreachable.send_replace(true);
                return std::future::pending().await;
            }
        };
        stream.set_nodelay(true).unwrap();
        state.connections.send_modify(|count| *count += 1);
        state.welcomed.send_modify(|count| *count += 1);
        tokio::spawn(serve(stream, state.clone(), speaks.clone()));
    }
}

/// The kernel throws away whatever comes for this socket, and so acknowledges nothing.
fn deafen(socket: &impl AsFd) {
    // BPF_RET | BPF_K with 0: keep no byte.
    SockRef::from(socket)
        .attach_filter(&[SockFilter::new(0x06, 0, 0, 0)])
        .unwrap();
}

/// What a server speaks on its connections.
#[derive(Clone)]
pub struct Speaks {
    http: auto::Builder<TokioExecutor>,
    tls: Option<Upgrade>,
}

/// Makes of a connection one inside which the server speaks.
pub type Upgrade = Arc<dyn Fn(TcpStream) -> Pin<Box<dyn Future<Output = Option<BoxedIo>> + Send>> + Send + Sync>;

/// A connection of whatever kind.
pub type BoxedIo = Pin<Box<dyn Io>>;

pub trait Io: AsyncRead + AsyncWrite + Send {}

impl<T: AsyncRead + AsyncWrite + Send> Io for T {}

impl Speaks {
    pub fn http2(streams: u32) -> Self {
        let mut http = auto::Builder::new(TokioExecutor::new()).http2_only();
        http.http2().max_concurrent_streams(streams);
        Self { http, tls: None }
    }

    /// With an HTTP/2 PING of the server's so often, whatever else is said.
    pub fn pinging(mut self, pause: Duration) -> Self {
        self.http
            .http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(pause)
            .keep_alive_timeout(Duration::from_secs(60));
        self
    }

    pub fn http1() -> Self {
        Self {
            http: auto::Builder::new(TokioExecutor::new()).http1_only(),
            tls: None,
        }
    }

    /// What the client begins with, inside what `upgrade` makes of the connection.
    pub fn inside(upgrade: Upgrade) -> Self {
        Self {
            http: auto::Builder::new(TokioExecutor::new()),
            tls: Some(upgrade),
        }
    }
}

async fn serve(stream: TcpStream, state: Arc<State>, speaks: Speaks) {
    let (mut death, mut drain) = (state.death.subscribe(), state.drain.subscribe());
    let mut vanished = state.vanished.subscribe();
    let socket = stream.as_fd().try_clone_to_owned().unwrap();
    let drains = *drain.borrow();
    let served = async {
        let stream: BoxedIo = match &speaks.tls {
            None => Box::pin(stream),
            Some(upgrade) => match upgrade(stream).await {
                Some(stream) => stream,
                None => return,
            },
        };
        let graceful = GracefulShutdown::new();
        let service = hyper::service::service_fn({
            let state = state.clone();
            move |request| answer(state.clone(), request)
        });
        let connection = graceful.watch(speaks.http.serve_connection(TokioIo::new(stream), service));
        tokio::pin!(connection);
        tokio::select! {
            _ = &mut connection => return,
            () = async { drop(drain.wait_for(|count| *count > drains).await) } => {}
        }
        tokio::spawn(graceful.shutdown());
        let _ = connection.await;
    };
    let mut lost = state.lost.subscribe();
    let path = async {
        while lost.changed().await.is_ok() {
            if *lost.borrow_and_update() {
                deafen(&socket);
                state.losing.send_modify(|count| *count += 1);
            } else {
                SockRef::from(&socket).detach_filter().unwrap();
                state.losing.send_modify(|count| *count -= 1);
            }
        }
    };
    tokio::select! {
        () = path => {}
        () = async { drop(death.wait_for(|dead| *dead).await) } => {}
        () = async { drop(vanished.wait_for(|vanished| *vanished).await) } => {
            deafen(&socket);
            state.connections.send_modify(|count| *count -= 1);
            return std::future::pending().await;
        }
        () = served => {}
    }
    drop(socket);
    state.connections.send_modify(|count| *count -= 1);
}

async fn answer(state: Arc<State>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let answer = |status: u16, body| Ok(Response::builder().status(status).body(body).unwrap());
    if request.uri().path() == HEALTH_PATH {
        let unwell = state.unwell.load(Ordering::SeqCst);
        return answer(if unwell { 503 } else { 200 }, Full::default());
    }
    let present = state.present.fetch_add(1, Ordering::SeqCst) + 1;
    state.most.fetch_max(present, Ordering::SeqCst);
    if let Some(id) = request.headers().get(CALL_ID) {
        state.ids.lock().unwrap().push(id.to_str().unwrap().parse().unwrap());
    }
    let body = request.into_body().collect().await;
    let processed = state.processed.fetch_add(1, Ordering::SeqCst);
    let gate = state.gate.lock().unwrap().clone();
    if let Some(gate) = gate {
        state.held.send_modify(|held| *held += 1);
        let _ = gate.acquire().await;
    }
    state.present.fetch_sub(1, Ordering::SeqCst);
    let failing = state.failing.load(Ordering::SeqCst);
    let fails = failing > 0 && !processed.is_multiple_of(failing);
    answer(if fails { 500 } else { 200 }, Full::new(body?.to_bytes()))
}

/// A client of `servers` without a monitor.
pub fn client(servers: &[Server]) -> ClientBuilder {
    Client::builder("http://pods.test")
        .feed(Feed::offline())
        .endpoints(servers.iter().map(Server::address))
}

/// Waits until exactly `ready` endpoints are in rotation.
pub async fn settled(client: &Client, ready: usize) {
    let mut events = client.events();
    loop {
        if client
            .snapshot()
            .iter()
            .filter(|endpoint| endpoint.phase == Phase::Ready)
            .count()
            == ready
        {
            return;
        }
        let _ = events.recv().await;
    }
}

pub fn get() -> Request<Full<Bytes>> {
    Request::get("/").body(Full::default()).unwrap()
}

pub fn post(id: u64, body: Bytes) -> Request<Full<Bytes>> {
    Request::post("/").header(CALL_ID, id).body(Full::new(body)).unwrap()
}
