//! Servers whose connections shut down gracefully all the time, each at a random moment of its life, and a journal of
//! the calls they processed.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    missing_docs,
    reason = "helpers of tests fail as tests do"
)]

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::{Future as _, poll_fn, ready};
use std::net::SocketAddr;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Empty;
use hyper_util::rt::{TokioExecutor, TokioIo};
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};

/// The header that names a call.
pub const CALL_ID: &str = "call-id";

/// How a connection is shut down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Farewell {
    /// A GOAWAY that names no stream, then one with the last, and the end when the calls are answered (RFC 9113 §6.8).
    Twice,
    /// The same, and then the socket is reset instead of closed, as soon as the peer's kernel has it all.
    TwiceAndReset,
    /// One GOAWAY with the last stream, and the socket is closed as soon as the peer's kernel has that, whatever is on its
    /// way here: the peer's kernel is told that the connection was reset.
    Once,
}

/// What became of everything, for all servers of a test.
#[derive(Debug, Default)]
pub struct Journal {
    receipts: Mutex<HashMap<u64, u32>>,
    shutdowns: AtomicUsize,
}

impl Journal {
    /// How often each call was processed.
    pub fn receipts(&self) -> HashMap<u64, u32> {
        self.receipts.lock().unwrap().clone()
    }

    /// How many connections were shut down.
    pub fn shutdowns(&self) -> usize {
        self.shutdowns.load(Ordering::SeqCst)
    }

    fn processed<B>(&self, request: &Request<B>) {
        let id = request.headers()[CALL_ID].to_str().unwrap().parse().unwrap();
        *self.receipts.lock().unwrap().entry(id).or_default() += 1;
    }
}

/// A server each connection of which is shut down within `life` of its beginning, at a moment drawn from `seed`.
pub async fn leaving(farewell: Farewell, life: Duration, seed: u64, journal: Arc<Journal>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut random = fastrand::Rng::with_seed(seed);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            let life = life.mul_f64(random.f64());
            let journal = journal.clone();
            tokio::spawn(async move {
                match farewell {
                    Farewell::Twice | Farewell::TwiceAndReset => twice(stream, farewell, life, &journal).await,
                    Farewell::Once => once(stream, life, &journal).await,
                }
            });
        }
    });
    address
}

/// Waits until the peer's kernel has acknowledged everything. A reset makes this end's kernel forget what it has not sent: that is
/// lost whatever a client does.
async fn acknowledged(socket: &OwnedFd) {
    loop {
        let mut owed: libc::c_int = 0;
        #[expect(unsafe_code, reason = "no library offers SIOCOUTQ")]
        // SAFETY: the descriptor is open, and the request writes one int.
        let told = unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &raw mut owed) };
        assert_eq!(told, 0);
        if owed == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn twice(stream: TcpStream, farewell: Farewell, life: Duration, journal: &Arc<Journal>) {
    let socket = stream.as_fd().try_clone_to_owned().unwrap();
    let service = hyper::service::service_fn(|request| {
        journal.processed(&request);
        ready(Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new())))
    });
    let serving = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .max_concurrent_streams(1000)
        .serve_connection(TokioIo::new(stream), service);
    let mut serving = pin!(serving);
    tokio::select! {
        _ = &mut serving => return,
        () = tokio::time::sleep(life) => serving.as_mut().graceful_shutdown(),
    }
    let _ = serving.await;
    if farewell == Farewell::TwiceAndReset {
        acknowledged(&socket).await;
        SockRef::from(&socket).set_linger(Some(Duration::ZERO)).unwrap();
    }
    journal.shutdowns.fetch_add(1, Ordering::SeqCst);
}

async fn once(stream: TcpStream, life: Duration, journal: &Journal) {
    let socket = stream.as_fd().try_clone_to_owned().unwrap();
    let mut greeting = h2::server::Builder::new();
    greeting.max_concurrent_streams(1000);
    let Ok(mut serving) = greeting.handshake::<_, Bytes>(stream).await else {
        return;
    };
    let mut end = pin!(tokio::time::sleep(life));
    loop {
        let accepted = poll_fn(|cx| match serving.poll_accept(cx) {
            // All that was read is answered, and the answers are written.
            Poll::Pending => end.as_mut().poll(cx).map(|()| None),
            Poll::Ready(accepted) => Poll::Ready(Some(accepted)),
        });
        match accepted.await {
            Some(Some(Ok((request, mut answer)))) => {
                journal.processed(&request);
                let _ = answer.send_response(Response::new(()), true);
            }
            Some(_) => return,
            None => break,
        }
    }
    serving.abrupt_shutdown(h2::Reason::NO_ERROR);
    let _ = poll_fn(|cx| serving.poll_closed(cx)).await;
    acknowledged(&socket).await;
    journal.shutdowns.fetch_add(1, Ordering::SeqCst);
}
