//! The health map, between the feed's task, which writes it, and those who read it and connect.

#[path = "../../src/feed/cell.rs"]
mod cell;
#[path = "../../src/feed/link.rs"]
mod link;
#[path = "../../src/feed/service_watch.rs"]
mod service_watch;
#[path = "../../src/feed/services.rs"]
mod services;
#[path = "../../src/feed/state.rs"]
mod state;
#[path = "../../src/feed/status.rs"]
mod status;
#[path = "../../src/feed/table.rs"]
mod table;
#[path = "../../src/feed/wire.rs"]
mod wire;

use std::net::SocketAddr;
use std::sync::Arc;

use loom::thread;

use self::cell::PeerCell;
use self::link::{Arrival, Link};
use self::state::Change;
use self::table::Table;
use crate::{Health, Reason, Verdict, explore, now};

/// What the handle of a service's watch holds; the models hold none.
#[derive(Debug, Clone)]
pub(crate) struct Feed(Arc<Table>);

impl Feed {
    fn table(&self) -> &Arc<Table> {
        &self.0
    }
}

fn peer() -> SocketAddr {
    SocketAddr::from(([198, 18, 0, 1], 80))
}

fn health(verdict: Verdict, kernel_ns: u64) -> Health {
    Health {
        verdict,
        reason: Reason::Unreachable,
        evidence: 1,
        kernel_ns,
    }
}

/// A peer comes back to life. Who reads that it takes work joins a life that goes on.
pub fn who_reads_of_a_life_does_not_join_the_one_before() {
    explore(None, || {
        let at = now();
        let cell = Arc::new(PeerCell::new(peer()));
        cell.publish(health(Verdict::Dead, 1), at);
        let writer = thread::spawn({
            let cell = cell.clone();
            move || cell.publish(health(Verdict::Alive, 2), at)
        });
        if cell.health().verdict.takes_work() {
            assert!(!cell.life().is_killed());
        }
        assert!(writer.join().is_ok());
    });
}

/// A peer dies. Who joined its life before hears of the end of it, whatever he had read.
pub fn who_joined_a_life_hears_of_its_end() {
    explore(None, || {
        let at = now();
        let cell = Arc::new(PeerCell::new(peer()));
        let writer = thread::spawn({
            let cell = cell.clone();
            move || cell.publish(health(Verdict::Dead, 1), at)
        });
        let life = cell.life();
        assert!(writer.join().is_ok());
        assert!(life.is_killed());
    });
}

/// A peer dies while a connection to it is being tied to the feed: the connection is ended, by the one or the other.
pub fn a_connection_tied_while_its_peer_dies_is_ended() {
    explore(None, || {
        let at = now();
        let table = Arc::new(Table::new(at, true));
        table.lease(peer());
        let link = Arc::new(Link::new(peer(), 0));
        link.establish();
        let task = thread::spawn({
            let table = table.clone();
            move || {
                let death = Change::Peer {
                    peer: peer(),
                    health: health(Verdict::Dead, 1),
                    arrival: Arrival::Live,
                };
                table.apply(&death, at);
            }
        });
        table.attach(&link, None, at);
        assert!(task.join().is_ok());
        assert!(link.kill_switch().is_killed());
    });
}

/// A dial succeeds while word comes that its peer refused another: it is ended as a dial, or left alone as a connection,
/// which then takes no new work.
pub fn a_dial_that_succeeds_while_its_port_closes_is_ended_or_closed_to_new_work() {
    explore(None, || {
        let at = now();
        let link = Arc::new(Link::new(peer(), 0));
        let task = thread::spawn({
            let link = link.clone();
            move || {
                let refused = Health {
                    reason: Reason::Refused,
                    ..health(Verdict::Dead, 1)
                };
                link.peer_changed(refused, Arrival::Live, at);
            }
        });
        link.establish();
        assert!(task.join().is_ok());
        assert!(link.kill_switch().is_killed() != (link.health().verdict == Verdict::Dead));
    });
}
