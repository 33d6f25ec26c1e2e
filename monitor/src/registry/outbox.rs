//! What is to be said to one subscriber: the last station before its socket.
//!
//! State, not stream: for a peer only *that* it changed is kept, and its newest verdict is put on the wire when there is
//! room. A reader that never reads costs a bounded list, whatever happens.

use std::collections::{HashSet, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use obit_protocol::{FrameCodec, Heartbeat, MonitorMessage, Notice, monitor_message::Message};
use tokio_util::codec::Encoder;

use crate::sighting::MonotonicNs;

/// Frames are written in pieces of about this size, bytes.
const PIECE: usize = 16 * 1024;

/// News of this many connections is kept for a reader that is behind; then the oldest gives way.
pub const CONNECTIONS_MAX: usize = 1_024;

/// Where bytes for a subscriber go: a non-blocking socket.
pub trait Wire: Send + Sync {
    /// Writes what can be written at once. `WouldBlock` when that is nothing.
    ///
    /// # Errors
    /// Whatever the socket says.
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize>;

    /// Asks the subscriber's session to go on writing when the socket has room again.
    fn wake(&self);
}

/// What became of an attempt to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flush {
    /// Nothing is left.
    Empty,
    /// The reader is behind.
    Blocked,
    /// The connection is gone.
    Broken,
}

#[derive(Default)]
pub(super) struct Outbox {
    /// Encoded; the first frame may be partly written.
    wire: BytesMut,
    peers: VecDeque<SocketAddr>,
    /// What is in `peers` and still wanted.
    pending: HashSet<SocketAddr>,
    connections: VecDeque<Notice>,
    heartbeat: Option<Heartbeat>,
    blocked_since: Option<MonotonicNs>,
    closing: bool,
}

impl Outbox {
    /// There is news of a peer.
    pub(super) fn peer_changed(&mut self, peer: SocketAddr) {
        if !self.closing && self.pending.insert(peer) {
            self.peers.push_back(peer);
        }
    }

    /// There is no interest in a peer any more.
    pub(super) fn peer_left(&mut self, peer: SocketAddr) {
        if self.pending.remove(&peer) {
            self.peers.retain(|queued| *queued != peer);
        }
    }

    /// There is news of a connection. A socket that was disconnected and dialled somebody else keeps its cookie: those are
    /// two connections.
    pub(super) fn connection_changed(&mut self, notice: Notice) {
        if self.closing {
            return;
        }
        let same = self
            .connections
            .iter()
            .position(|n| n.socket_cookie == notice.socket_cookie && n.peer == notice.peer);
        same.map(|at| self.connections.remove(at));
        if self.connections.len() >= CONNECTIONS_MAX {
            self.connections.pop_front();
        }
        self.connections.push_back(notice);
    }

    /// The next heartbeat; one that was not sent yet is replaced.
    pub(super) fn beat(&mut self, heartbeat: Heartbeat) {
        if !self.closing {
            self.heartbeat = Some(heartbeat);
        }
    }

    /// An answer. The session asks nothing more of a subscriber that does not take its answers: see [`Self::backlog`].
    pub(super) fn reply(&mut self, message: Message) {
        if !self.closing {
            self.put(message);
        }
    }

    /// The last words: what was not yet encoded is not sent any more.
    pub(super) fn close(&mut self, goodbye: Message) {
        if !self.closing {
            self.put(goodbye);
            self.closing = true;
            self.pending = HashSet::new();
            self.peers = VecDeque::new();
            self.connections = VecDeque::new();
            self.heartbeat = None;
        }
    }

    /// Encoded bytes not yet taken by the reader.
    pub(super) fn backlog(&self) -> usize {
        self.wire.len()
    }

    /// For how long the reader has taken nothing although something was there to take.
    pub(super) fn blocked_for(&self, now: MonotonicNs) -> Duration {
        self.blocked_since.map_or(Duration::ZERO, |since| now.since(since))
    }

    /// Writes what the reader takes. `newest` gives the newest notice about a peer.
    pub(super) fn flush(
        &mut self,
        wire: &dyn Wire,
        now: MonotonicNs,
        newest: impl Fn(SocketAddr) -> Option<Notice>,
    ) -> Flush {
        loop {
            self.encode(&newest);
            if self.wire.is_empty() {
                self.blocked_since = None;
                return Flush::Empty;
            }
            match wire.try_write(&self.wire) {
                Ok(0) => return Flush::Broken,
                Ok(written) => {
                    self.wire.advance(written);
                    self.blocked_since = None;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.blocked_since.get_or_insert(now);
                    return Flush::Blocked;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Flush::Broken,
            }
        }
    }

    /// Fills the wire up to a piece: connections first, they concern work in flight.
    fn encode(&mut self, newest: &impl Fn(SocketAddr) -> Option<Notice>) {
        while self.wire.len() < PIECE {
            if let Some(notice) = self.connections.pop_front() {
                self.put(Message::Notice(notice));
            } else if let Some(peer) = self.peers.pop_front() {
                self.pending.remove(&peer);
                if let Some(notice) = newest(peer) {
                    self.put(Message::Notice(notice));
                }
            } else if let Some(heartbeat) = self.heartbeat.take() {
                self.put(Message::Heartbeat(heartbeat));
            } else {
                break;
            }
        }
    }

    fn put(&mut self, message: Message) {
        let message = MonitorMessage { message: Some(message) };
        let mut codec = FrameCodec::<MonitorMessage, MonitorMessage>::default();
        // Every message of a monitor is made to fit a frame; one that is not must not take the others with it.
        if let Err(error) = codec.encode(message, &mut self.wire) {
            debug_assert!(false, "a message does not fit a frame: {error}");
        }
    }
}
