//! The guard at work, on its own thread: looks at the process's sockets, ties each connection to the feed, and ends those
//! that the feed condemns.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::{AbortHandle, Abortable, BoxFuture, FutureExt as _};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::sleep;

use super::peers::Peers;
use super::roll::{Change, Met, Roll, Seen};
use super::socket::{self, Duplicate, Look};
use crate::connection::{Claim, sockopt};
use crate::feed::{Arrival, Link, PeerWatch, Registration};
use crate::{Health, PeerDead, Verdict, clock};

/// After a look at the sockets, at least this many times as long as it took until the next: it takes 1 % of a processor at
/// most, however many there are.
const REST: u32 = 99;

/// How long after it was told that a peer is going to be dialled the sockets are looked at: most dials have succeeded.
const DIALLED: Duration = Duration::from_millis(10);

/// What the task waits for.
enum Event {
    /// A watched peer died.
    Died(PeerWatch),
    /// The feed condemns the connection with this cookie.
    Condemned(u64),
}

/// A wait that ends when this is dropped.
struct Wait(AbortHandle);

impl Drop for Wait {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A connection's tie to the feed.
struct Tie {
    met: Met,
    registration: Registration,
    _wait: Wait,
}

/// Peers that died just now, after they were watched.
type Deaths = HashMap<SocketAddr, Health>;

pub(super) struct Task {
    peers: Arc<Peers>,
    ended: Arc<AtomicU64>,
    roll: Roll,
    ties: HashMap<u64, Tie>,
    /// Each watched peer, since when, and the wait for its death.
    watched: HashMap<SocketAddr, (u64, Wait)>,
    waits: FuturesUnordered<Abortable<BoxFuture<'static, Event>>>,
    told_of_trouble: bool,
}

impl Task {
    pub(super) fn new(peers: Arc<Peers>, ended: Arc<AtomicU64>) -> Self {
        Self {
            peers,
            ended,
            roll: Roll::default(),
            ties: HashMap::new(),
            watched: HashMap::new(),
            waits: FuturesUnordered::new(),
            told_of_trouble: false,
        }
    }

    /// Works until dropped.
    pub(super) async fn run(mut self, mut told: UnboundedReceiver<PeerWatch>, every: Duration) -> Infallible {
        let peers = self.peers.clone();
        let next = sleep(Duration::ZERO);
        tokio::pin!(next);
        let mut earliest = next.deadline();
        loop {
            tokio::select! {
                biased;
                Some(event) = self.waits.next() => {
                    // Many peers of one node die in the same moment: one look finds the connections of all.
                    let mut events = vec![event];
                    while let Some(Some(event)) = self.waits.next().now_or_never() {
                        events.push(event);
                    }
                    self.heard(events.into_iter().flatten());
                }
                Some(watch) = told.recv() => {
                    self.watched_since(watch);
                }
                () = &mut next => {
                    let began = clock::now();
                    self.scan(&Deaths::new());
                    let done = clock::now();
                    earliest = done + (done - began) * REST;
                    next.as_mut().reset(earliest.max(done + every));
                }
                () = peers.expected() => {
                    let soon = earliest.max(clock::now() + DIALLED);
                    let due = next.deadline().min(soon);
                    next.as_mut().reset(due);
                }
            }
        }
    }

    fn wait(&self, event: BoxFuture<'static, Event>) -> Wait {
        let (handle, registration) = AbortHandle::new_pair();
        self.waits.push(Abortable::new(event, registration));
        Wait(handle)
    }

    fn watched_since(&mut self, watch: PeerWatch) {
        let (peer, since) = (watch.peer(), clock::monotonic_ns());
        let wait = self.wait(death(watch).boxed());
        self.watched.insert(peer, (since, wait));
    }

    fn heard(&mut self, events: impl Iterator<Item = Event>) {
        let mut deaths = Deaths::new();
        let mut any = false;
        for event in events {
            match event {
                Event::Condemned(cookie) => self.end(cookie),
                Event::Died(watch) => {
                    any = true;
                    let (peer, health) = (watch.peer(), watch.health());
                    let Some((since, _)) = self.watched.get(&peer) else {
                        continue;
                    };
                    let since = *since;
                    if health.is_death_since(since) {
                        deaths.insert(peer, health);
                    }
                    let wait = self.wait(death(watch).boxed());
                    self.watched.insert(peer, (since, wait));
                }
            }
        }
        if any {
            self.scan(&deaths);
        }
    }

    /// Looks at every socket of the process.
    fn scan(&mut self, deaths: &Deaths) {
        let descriptors = match socket::descriptors() {
            Ok(descriptors) => descriptors,
            Err(error) => {
                if !std::mem::replace(&mut self.told_of_trouble, true) {
                    tracing::warn!("connections of this process are not guarded: cannot list its descriptors: {error}");
                }
                return;
            }
        };
        for descriptor in descriptors {
            let Ok(cookie) = sockopt::cookie(descriptor) else {
                continue;
            };
            if self.roll.is_settled(cookie, descriptor) {
                continue;
            }
            let Ok(look) = socket::look(descriptor) else { continue };
            let at_ns = clock::monotonic_ns();
            // The number may have changed hands between the questions.
            if sockopt::cookie(descriptor).is_ok_and(|still| still == cookie) {
                self.roll.note(Seen {
                    cookie,
                    descriptor,
                    look,
                    at_ns,
                });
            }
        }
        for change in self.roll.close() {
            match change {
                Change::Met(met) => self.tie(met, deaths),
                Change::Opened { cookie } => {
                    if let Some(tie) = self.ties.get_mut(&cookie) {
                        tie.met.dialling = false;
                        tie.registration.link().establish();
                    }
                }
                Change::Gone { cookie } => drop(self.ties.remove(&cookie)),
            }
        }
        let now = clock::now();
        for peer in self.roll.peers() {
            self.peers.want(peer, now);
        }
        for peer in self.peers.forget(now) {
            self.watched.remove(&peer);
        }
    }

    fn tie(&mut self, met: Met, deaths: &Deaths) {
        if Claim::covers(met.cookie) {
            return;
        }
        let link = Arc::new(Link::new(met.peer, met.born_by_ns));
        if !met.dialling {
            link.establish();
        }
        let condemned = link
            .kill_switch()
            .killed_owned()
            .map(move |()| Event::Condemned(met.cookie));
        let wait = self.wait(condemned.boxed());
        let registration = Registration::new(self.peers.feed(), link.clone(), Some(met.cookie));
        // A dial that was under way when word came, found only now.
        if met.dialling
            && let Some(death) = deaths.get(&met.peer)
        {
            link.peer_changed(*death, Arrival::Live, clock::now());
        }
        self.ties.insert(
            met.cookie,
            Tie {
                met,
                registration,
                _wait: wait,
            },
        );
    }

    /// Ends the connection that the feed condemned, if it is still there, and still what it was taken for.
    fn end(&mut self, cookie: u64) {
        let Some(tie) = self.ties.remove(&cookie) else { return };
        let link = tie.registration.link();
        let Some(cause) = link.kill_switch().cause() else {
            return;
        };
        let Some(socket) = self.find(cookie) else { return };
        match socket.look() {
            // The dial was answered since the last look, and a verdict about the peer may be one about dials alone.
            Ok(Look::Open { peer, .. })
                if peer == tie.met.peer && tie.met.dialling && link.health().verdict != Verdict::Dead =>
            {
                let met = Met {
                    dialling: false,
                    ..tie.met
                };
                drop(tie);
                self.tie(met, &Deaths::new());
            }
            Ok(Look::Open { peer, .. } | Look::Dialling { peer }) if peer == tie.met.peer => {
                self.end_socket(cookie, &socket, &cause);
            }
            // Failed, or dialled to somebody else: the next look will tell.
            _ => self.roll.ended(cookie, true),
        }
    }

    /// A socket under the number it was last seen under, or another one.
    fn find(&self, cookie: u64) -> Option<Duplicate> {
        let known = self.roll.descriptor(cookie)?;
        Duplicate::of(known, cookie).or_else(|| {
            let all = socket::descriptors().ok()?;
            let has_it = |number: &i32| sockopt::cookie(*number).is_ok_and(|found| found == cookie);
            Duplicate::of(all.into_iter().find(has_it)?, cookie)
        })
    }

    fn end_socket(&mut self, cookie: u64, socket: &Duplicate, cause: &PeerDead) {
        let PeerDead { peer, reason, .. } = cause;
        // Counted first: whoever reads the error it ends in finds it counted.
        self.ended.fetch_add(1, Ordering::Relaxed);
        if let Err(error) = socket.end() {
            self.ended.fetch_sub(1, Ordering::Relaxed);
            tracing::warn!(%peer, %reason, cookie, "cannot end a connection of this process to a dead peer: {error}");
            return;
        }
        self.roll.ended(cookie, matches!(socket.look(), Ok(Look::Idle)));
        tracing::info!(%peer, %reason, cookie, "ended a connection of this process to a dead peer");
    }
}

/// Waits until the peer is dead, newly.
async fn death(mut watch: PeerWatch) -> Event {
    while watch.changed().await.verdict != Verdict::Dead {}
    Event::Died(watch)
}
