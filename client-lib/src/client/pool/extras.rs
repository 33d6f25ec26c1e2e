//! The connections of an endpoint beyond its first: a fixed number where many calls share one, as many as calls need where
//! each call needs its own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::Pool;
use super::berth::{Berth, Growth};
use super::endpoint::Endpoint;
use super::entry::Seat;
use super::lane::Lane;
use super::protocol::Spoken;

/// How long a connection that was opened because calls needed it may be without one.
const UNUSED: Duration = Duration::from_secs(30);

/// How often that is looked at.
const LOOK: Duration = Duration::from_secs(5);

/// Runs further connections of the endpoint that `seat` makes tasks for, until dropped; with it they end.
pub(super) async fn extras(
    pool: &Pool,
    peer: SocketAddr,
    growth: Option<Arc<Growth>>,
    seat: impl Fn(Seat, Stay) -> Endpoint,
) {
    let mut seats = Seats {
        tasks: JoinSet::new(),
        taken: vec![true],
        dialling: Arc::default(),
    };
    if pool.settings.speech.protocol.in_clear() == Spoken::Http2 {
        for number in 1..pool.settings.connections.http2 {
            seats.fill(number, seat(number, Stay::Always));
        }
    }
    let Some(growth) = growth else {
        return std::future::pending().await;
    };
    loop {
        tokio::select! {
            () = growth.wanted() => {
                for _ in seats.dialling()..pool.short_of(peer) {
                    match seats.free(pool.settings.connections.http1) {
                        Some(number) => seats.fill(number, seat(number, Stay::WhileUsed)),
                        None => break,
                    }
                }
            }
            Some(ended) = seats.tasks.join_next() => if let Ok(number) = ended {
                seats.leave(number);
            },
        }
    }
}

/// How long a further connection is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stay {
    /// Dialled again whenever it ends.
    Always,
    /// Until it ends or was unused for [`UNUSED`].
    WhileUsed,
}

impl Stay {
    /// Completes when the connection is to go. Cancel safe.
    pub(super) async fn over(self, lane: &Lane) {
        if self == Self::Always {
            return std::future::pending().await;
        }
        let mut idle = Duration::ZERO;
        while idle < UNUSED {
            tokio::time::sleep(LOOK).await;
            idle = if lane.was_used() { Duration::ZERO } else { idle + LOOK };
        }
    }
}

struct Seats {
    tasks: JoinSet<Seat>,
    taken: Vec<bool>,
    /// A clone in the hands of each that has not connected yet.
    dialling: Arc<Dialling>,
}

/// Held by a connection until it takes calls, or does not come about.
#[derive(Debug, Default)]
pub(super) struct Dialling;

impl Seats {
    /// The lowest number nobody has, below `limit`.
    fn free(&self, limit: usize) -> Option<Seat> {
        let free = self.taken.iter().position(|taken| !taken).unwrap_or(self.taken.len());
        (free < limit).then_some(free)
    }

    /// How many have not connected yet.
    fn dialling(&self) -> usize {
        Arc::strong_count(&self.dialling) - 1
    }

    fn fill(&mut self, number: Seat, endpoint: Endpoint) {
        if self.taken.len() <= number {
            self.taken.resize(number + 1, false);
        }
        self.taken[number] = true;
        let dialling = self.dialling.clone();
        self.tasks.spawn(async move {
            endpoint.attend(dialling).await;
            number
        });
    }

    fn leave(&mut self, number: Seat) {
        if let Some(taken) = self.taken.get_mut(number) {
            *taken = false;
        }
    }
}

impl Pool {
    /// How many more connections an endpoint might use: its share of the calls that wait, less those that have none.
    fn short_of(&self, peer: SocketAddr) -> usize {
        let rotation = self.rotation.load();
        let share = self.waiting().div_ceil(rotation.berths().len().max(1)).max(1);
        let berth = rotation.berths().iter().find(|berth| berth.peer() == peer);
        share.saturating_sub(berth.map_or(0, Berth::unused))
    }
}
