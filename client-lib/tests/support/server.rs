//! A real HTTP server, both versions, that answers, hangs or begins to answer as the path asks.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

type Body = BoxBody<Bytes, Infallible>;

/// Runs until dropped. `/hang` never answers, `/stream` answers with one frame and never ends, everything else is
/// answered with an empty gRPC message.
pub struct Server {
    pub address: SocketAddr,
    connections: Arc<AtomicUsize>,
    requests: watch::Receiver<usize>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let (counted, requests) = watch::channel(0);
        let task = tokio::spawn(serve(listener, connections.clone(), Arc::new(counted)));
        Self {
            address,
            connections,
            requests,
            task,
        }
    }

    /// How many connections were accepted.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Waits until `count` requests have arrived.
    pub async fn requests(&self, count: usize) {
        self.requests.clone().wait_for(|seen| *seen >= count).await.unwrap();
    }
}

async fn serve(listener: TcpListener, connections: Arc<AtomicUsize>, requests: Arc<watch::Sender<usize>>) {
    let mut serving = tokio::task::JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        connections.fetch_add(1, Ordering::SeqCst);
        let requests = requests.clone();
        serving.spawn(async move {
            let service = service_fn(move |request| answer(request, requests.clone()));
            // A killed connection ends in an error here: that is what the tests are about.
            _ = auto::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn answer(request: Request<Incoming>, requests: Arc<watch::Sender<usize>>) -> Result<Response<Body>, Infallible> {
    requests.send_modify(|count| *count += 1);
    let message = Bytes::from_static(&[0; 5]);
    let first = futures_util::stream::iter([Ok(Frame::data(message))]);
    let body = match request.uri().path() {
        "/hang" => return std::future::pending().await,
        "/stream" => StreamBody::new(futures_util::StreamExt::chain(first, futures_util::stream::pending())).boxed(),
        _ => {
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", HeaderValue::from_static("0"));
            let last = futures_util::stream::iter([Ok(Frame::trailers(trailers))]);
            StreamBody::new(futures_util::StreamExt::chain(first, last)).boxed()
        }
    };
    let mut response = Response::new(body);
    response
        .headers_mut()
        .insert("content-type", HeaderValue::from_static("application/grpc"));
    Ok(response)
}
