//! Looks at a connection's own socket, while hyper owns the I/O: `TCP_INFO`, unprivileged, 0.3 µs. The shell below the
//! silence rule.

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, RawFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::time::Instant;

use super::silence::SocketSample;
use super::sockopt::tcp_info;
use super::writes::WriteLog;
use crate::clock;

/// A look at the socket of a connection that somebody else owns. Does not keep the socket open.
#[derive(Debug, Clone)]
pub struct SocketProbe(Arc<Meter>);

impl SocketProbe {
    pub(super) fn new(meter: Arc<Meter>) -> Self {
        Self(meter)
    }

    /// Bytes written and not acknowledged by the peer's kernel, sent or not (`SIOCOUTQ`, half the price of a sample).
    /// `None` once the connection is closed.
    #[must_use]
    pub fn unacknowledged_bytes(&self) -> Option<u32> {
        self.0.with_socket(|socket, _| outstanding(socket))
    }

    /// How many segments came since the connection began. `None` once it is closed.
    pub(crate) fn segments_heard(&self) -> Option<u32> {
        self.0
            .with_socket(|socket, _| tcp_info(socket.as_raw_fd()).map(|info| info.tcpi_segs_in))
    }

    /// Whether anything of the peer's kernel, data or an acknowledgement, came within this time; to a jiffy.
    #[must_use]
    pub(crate) fn heard_within(&self, time: Duration) -> bool {
        self.sample().is_some_and(|sample| sample.last_heard() <= time)
    }

    /// After this long without a segment TCP keep-alive asks the peer's kernel: at once, if that is over. Whole seconds. Best effort.
    pub(crate) fn keep_alive_after(&self, pause: Duration) {
        let keep_alive = TcpKeepalive::new().with_time(pause);
        self.0
            .with_socket(|socket, _| SockRef::from(&socket).set_tcp_keepalive(&keep_alive));
    }

    /// What the kernel knows of the connection now. `None` once it is closed.
    #[must_use]
    pub fn sample(&self) -> Option<SocketSample> {
        self.0.with_socket(|socket, record| {
            // Before the kernel is asked: an answer that comes in between must not look late.
            let now = clock::now();
            let info = tcp_info(socket.as_raw_fd())?;
            let acknowledged = info.tcpi_bytes_acked.saturating_sub(record.acked_at_birth);
            let written = record.writes.oldest_unacknowledged(acknowledged, now);
            // A probe is no data: the kernel counts those in vain, and does not tell when it sent them.
            let probes = u32::from(info.tcpi_probes);
            record.asked = (probes > 0).then(|| record.asked.unwrap_or(now));
            let asked = record.asked.map(|asked| now.saturating_duration_since(asked));
            Ok(SocketSample {
                unacked: info.tcpi_unacked.max(probes),
                notsent_bytes: info.tcpi_notsent_bytes,
                last_ack_recv: Duration::from_millis(info.tcpi_last_ack_recv.into()),
                last_data_recv: Duration::from_millis(info.tcpi_last_data_recv.into()),
                // All ones while the kernel has none.
                min_rtt: match info.tcpi_min_rtt {
                    u32::MAX => Duration::ZERO,
                    us => Duration::from_micros(us.into()),
                },
                total_retrans: info.tcpi_total_retrans,
                oldest_unacked: written.or(asked),
            })
        })
    }
}

/// The socket's number while it is open, and what was written to it.
#[derive(Debug)]
pub(super) struct Meter(Mutex<Record>);

#[derive(Debug)]
struct Record {
    socket: Option<RawFd>,
    /// What `tcpi_bytes_acked` was before the first write: the SYN counts.
    acked_at_birth: u64,
    writes: WriteLog,
    /// When probes without an answer were first seen.
    asked: Option<Instant>,
}

impl Meter {
    /// For a freshly connected socket, before anything is written to it.
    pub(super) fn new(socket: BorrowedFd<'_>) -> Self {
        Self(Mutex::new(Record {
            socket: Some(socket.as_raw_fd()),
            acked_at_birth: tcp_info(socket.as_raw_fd()).map_or(0, |info| info.tcpi_bytes_acked),
            writes: WriteLog::default(),
            asked: None,
        }))
    }

    /// The kernel took `bytes`.
    pub(super) fn wrote(&self, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let mut record = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        record.writes.wrote(bytes, clock::now());
    }

    /// The socket is about to be closed: its number may be another one's from now on.
    pub(super) fn close(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).socket = None;
    }

    fn with_socket<R>(&self, look: impl FnOnce(BorrowedFd<'_>, &mut Record) -> io::Result<R>) -> Option<R> {
        let mut record = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let socket = record.socket?;
        #[expect(
            unsafe_code,
            reason = "the socket's owner is inside hyper; a duplicate would keep it open"
        )]
        // SAFETY: the owner calls `close`, which takes this lock, before it closes the socket: while the lock is held and
        // the number is there, it is that open socket's.
        let socket = unsafe { BorrowedFd::borrow_raw(socket) };
        look(socket, &mut record).ok()
    }
}

/// The kernel's own measure of the handshake's round trip, on a socket just connected.
pub(super) fn handshake_rtt(socket: BorrowedFd<'_>) -> Option<Duration> {
    let us = tcp_info(socket.as_raw_fd()).ok()?.tcpi_rtt;
    (us != 0).then(|| Duration::from_micros(us.into()))
}

#[expect(unsafe_code, reason = "no library offers SIOCOUTQ")]
fn outstanding(socket: BorrowedFd<'_>) -> io::Result<u32> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: TIOCOUTQ, which SIOCOUTQ is another name of, writes one int to the pointer it is given.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
    if result == 0 {
        u32::try_from(bytes).map_err(io::Error::other)
    } else {
        Err(io::Error::last_os_error())
    }
}
