//! Connections that a server shuts down gracefully at a moment of their life. The lab's bench has the same servers, in processes of
//! their own: this file is part of both.

use std::convert::Infallible;
use std::future::{Future as _, poll_fn, ready};
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body_util::Empty;
use hyper_util::rt::{TokioExecutor, TokioIo};
use socket2::SockRef;
use tokio::net::TcpStream;

/// Calls a connection may have at once.
const STREAMS: u32 = 1_000;

/// How often a socket is asked whether everything is acknowledged.
const LOOK: Duration = Duration::from_millis(1);

/// How a connection is shut down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Farewell {
    /// A GOAWAY that names no stream, then one with the last, and the end when the calls are answered (RFC 9113 §6.8).
    Twice,
    /// The same, and then the socket is reset instead of closed, as soon as the peer's kernel has it all.
    TwiceAndReset,
    /// One GOAWAY with the last stream, and the socket is closed as soon as the peer's kernel has that, whatever is on its
    /// way here: the peer's kernel is told that the connection was reset.
    Once,
}

impl Farewell {
    /// Answers every request, whose head `received` is shown, until `life` is over; then shuts the connection down. Whether it
    /// came to that: the peer may end it first.
    ///
    /// # Errors
    /// The socket's.
    pub(crate) async fn serve(
        self,
        stream: TcpStream,
        life: Duration,
        received: impl Fn(&HeaderMap),
    ) -> io::Result<bool> {
        // Closed last, after everything was said.
        let socket = stream.as_fd().try_clone_to_owned()?;
        match self {
            Self::Twice | Self::TwiceAndReset => {
                if !twice(stream, life, received).await {
                    return Ok(false);
                }
                if self == Self::TwiceAndReset {
                    acknowledged(&socket).await?;
                    SockRef::from(&socket).set_linger(Some(Duration::ZERO))?;
                }
            }
            Self::Once => {
                if !once(stream, life, received).await {
                    return Ok(false);
                }
                acknowledged(&socket).await?;
            }
        }
        Ok(true)
    }
}

/// Waits until the peer's kernel has acknowledged everything. A reset makes this end's kernel forget what it has not sent: that is
/// lost whatever a client does.
async fn acknowledged(socket: &OwnedFd) -> io::Result<()> {
    loop {
        let mut owed: libc::c_int = 0;
        #[expect(unsafe_code, reason = "no library offers SIOCOUTQ")]
        // SAFETY: the descriptor is open, and the request writes one int.
        let told = unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &raw mut owed) };
        if told != 0 {
            return Err(io::Error::last_os_error());
        }
        if owed == 0 {
            return Ok(());
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn twice(stream: TcpStream, life: Duration, received: impl Fn(&HeaderMap)) -> bool {
    let service = hyper::service::service_fn(|request: http::Request<hyper::body::Incoming>| {
        received(request.headers());
        ready(Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new())))
    });
    let serving = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .max_concurrent_streams(STREAMS)
        .serve_connection(TokioIo::new(stream), service);
    let mut serving = pin!(serving);
    tokio::select! {
        _ = &mut serving => return false,
        () = tokio::time::sleep(life) => serving.as_mut().graceful_shutdown(),
    }
    let _ = serving.await;
    true
}

async fn once(stream: TcpStream, life: Duration, received: impl Fn(&HeaderMap)) -> bool {
    let mut greeting = h2::server::Builder::new();
    greeting.max_concurrent_streams(STREAMS);
    let Ok(mut serving) = greeting.handshake::<_, Bytes>(stream).await else {
        return false;
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
                received(request.headers());
                let _ = answer.send_response(Response::new(()), true);
            }
            Some(_) => return false,
            None => break,
        }
    }
    serving.abrupt_shutdown(h2::Reason::NO_ERROR);
    let _ = poll_fn(|cx| serving.poll_closed(cx)).await;
    true
}
