//! A guard over the whole process, for what connects by itself: HTTP clients whose connector cannot be changed, C libraries.
//! It looks at the process's own sockets and ends those whose peer died.
//!
//! ```text
//! /proc/self/fd ──▶ roll (pure): who is met, who is gone ──▶ ties to the feed ──▶ a verdict ──▶ that socket is ended
//! ```
//!
//! The rules are those of [`connection::dial`](crate::connection::dial()): a refused dial or a closed listener ends dials and
//! leaves established connections alone, a death older than a connection does not touch it, word of a single connection
//! (`SO_COOKIE`) ends that one. What the guard does not know is when a connection of somebody else's was born: it goes by when
//! it first saw it, or by how long the connection has neither sent nor received, whichever is earlier. So a connection
//! that was established in the last 10 ms before its peer's death, and never seen before it, may be spared; none is ended
//! for a death older than itself.
//!
//! Nobody needs a privilege to do this to his own sockets, and a descriptor that is closed and opened anew meanwhile is never
//! hit: the guard acts on a duplicate, once it has seen whose it is. Its owner reads `ECONNRESET` (a thread that was waiting:
//! `EPIPE`) and closes his descriptor when he likes.
//!
//! Left alone are connections that others dialled to this process, sockets this crate dials itself, UDP, QUIC, Multipath TCP
//! and unix sockets.

mod peers;
#[cfg(feature = "reqwest")]
mod resolver;
mod roll;
mod socket;
mod task;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::clock;
use crate::connector::dial_order;
use crate::feed::{Feed, FeedBuilder};
use peers::Peers;
#[cfg(feature = "reqwest")]
pub use resolver::Resolver;
use task::Task;

/// How often the process's sockets are looked at, where nothing else is asked for.
const SCAN_INTERVAL: Duration = Duration::from_millis(250);

/// Guards every connection of this process, with the defaults of [`ProcessGuard::builder`].
///
/// # Errors
///
/// Where no thread can be started.
///
/// ```no_run
/// # fn main() -> std::io::Result<()> {
/// let guard = obit::guard_process()?;
/// // From here on, what reads from a dead peer, in any thread and any library, fails at once.
/// # drop(guard);
/// # Ok(())
/// # }
/// ```
pub fn guard_process() -> io::Result<ProcessGuard> {
    ProcessGuard::builder().start()
}

/// Ends the process's connections to peers that die; see [the module](self). Clones are the same guard, which ends with the
/// last of them. It has a thread of its own: it needs no runtime, and one that is kept busy does not make it late.
#[derive(Debug, Clone)]
pub struct ProcessGuard(Arc<Handle>);

#[derive(Debug)]
struct Handle {
    peers: Arc<Peers>,
    ended: Arc<AtomicU64>,
    _until: DropGuard,
}

/// Settings of a [`ProcessGuard`]; see [`ProcessGuard::builder`].
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until `start`"]
pub struct ProcessGuardBuilder {
    feed: FeedBuilder,
    scan_interval: Duration,
}

impl ProcessGuardBuilder {
    /// How the guard finds the monitor: it has a subscription of its own. Default: as [`Feed::builder`].
    pub fn feed(mut self, feed: FeedBuilder) -> Self {
        self.feed = feed;
        self
    }

    /// How often the process's sockets are looked at; at least a millisecond. Default: 250 ms. Less often where that would
    /// take more than 1 % of a processor: with 1 000 sockets a look took 2 ms, with 8 000 it took 16 ms.
    ///
    /// A peer is watched from the first look that finds a connection to it, or once it is [told](ProcessGuard::watch). They
    /// are looked at again soon after a peer is told, and when one dies, so that its newest connections are found too.
    pub fn scan_interval(mut self, interval: Duration) -> Self {
        self.scan_interval = interval.max(Duration::from_millis(1));
        self
    }

    /// Starts the guard.
    ///
    /// # Errors
    ///
    /// Where no thread can be started.
    pub fn start(self) -> io::Result<ProcessGuard> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let feed = {
            let _inside = runtime.enter();
            self.feed.connect()
        };
        let (news, told) = mpsc::unbounded_channel();
        let peers = Arc::new(Peers::new(feed, news));
        let (until, ended) = (CancellationToken::new(), Arc::new(AtomicU64::new(0)));
        let task = Task::new(peers.clone(), ended.clone());
        let stopped = until.clone();
        let interval = self.scan_interval;
        std::thread::Builder::new()
            .name("obit-guard".into())
            .spawn(move || runtime.block_on(stopped.run_until_cancelled(task.run(told, interval))))?;
        Ok(ProcessGuard(Arc::new(Handle {
            peers,
            ended,
            _until: until.drop_guard(),
        })))
    }
}

impl ProcessGuard {
    /// Settings for a guard other than the default one.
    pub fn builder() -> ProcessGuardBuilder {
        ProcessGuardBuilder {
            feed: Feed::builder(),
            scan_interval: SCAN_INTERVAL,
        }
    }

    /// How many connections and dials were ended.
    #[must_use]
    pub fn ended(&self) -> u64 {
        self.0.ended.load(Ordering::Relaxed)
    }

    /// Watches `peer` before it is dialled, so that the guard knows of its death even while no look has found a connection to
    /// it yet, and looks at the sockets a moment later. It stays watched for a minute, and for as long as there are connections
    /// to it.
    ///
    /// At most 16 384 peers are watched.
    pub fn watch(&self, peer: SocketAddr) {
        self.0.peers.expect(peer, clock::now());
    }

    /// The addresses worth a dial, best first, all of which are [watched](Self::watch) from now on: those that take work, then
    /// the doubtful. The dead are left out, unless all are.
    ///
    /// For a resolver of one's own: what it returns is dialled in this order by most clients.
    #[must_use]
    pub fn dial_order(&self, addresses: impl IntoIterator<Item = SocketAddr>) -> Vec<SocketAddr> {
        let now = clock::now();
        let told = |address| (address, self.0.peers.expect(address, now).verdict);
        dial_order(&addresses.into_iter().map(told).collect::<Vec<_>>())
    }
}
