//! How a connection comes to its end, and what becomes of the calls it carries.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use super::Pool;
use super::confirm::Confirm;
use super::gauge::Stage;
use super::lane::Lane;
use super::watchdog::{Lost, silence};
use crate::health::Reason;
use crate::{PeerDead, clock};

/// The end of a connection by its silence: see [`silence`].
pub(super) type Silent = Pin<Box<dyn Future<Output = Lost> + Send>>;

pub(super) fn silent(lane: Arc<Lane>, confirm: Arc<Confirm>) -> Silent {
    Box::pin(async move { silence(&lane, &confirm).await })
}

/// How a connection came to its end.
pub(super) enum Ended {
    /// Its kill switch was thrown.
    Killed,
    /// It takes no new calls: GOAWAY, FIN, reset.
    Closing,
    /// Its peer fell silent; then its kill switch is thrown too.
    Silent,
    /// It is silent, and its peer is not: what it carries that may be repeated goes elsewhere, the rest waits for the kernel's next
    /// retransmission.
    Stranded,
}

/// Completes when the connection takes no new calls. Cancel safe.
async fn ended(lane: &Lane) -> Ended {
    tokio::select! {
        biased;
        _ = lane.connection().kill_switch().killed() => Ended::Killed,
        _ = lane.connection().closed() => Ended::Closing,
        _ = lane.gauge().reached(Stage::Closing) => {
            // The switch may have been thrown a moment before the driver noticed.
            if lane.connection().kill_switch().is_killed() { Ended::Killed } else { Ended::Closing }
        }
    }
}

/// Completes when the connection takes no new calls, or its peer fell silent. Cancel safe: `silent` goes on with the next.
pub(super) async fn over(lane: &Lane, silent: &mut Silent) -> Ended {
    tokio::select! {
        biased;
        ended = ended(lane) => ended,
        lost = silent => match lost {
            Lost::Peer(death) => {
                lane.connection().kill_switch().kill(death);
                Ended::Silent
            }
            Lost::Connection => {
                lane.strand();
                Ended::Stranded
            }
        }
    }
}

/// Lets the calls in flight on a connection that takes no new ones come to their end: under the watchdog, and not longer
/// than the pool's drain timeout.
pub(super) async fn drain(pool: Arc<Pool>, lane: Arc<Lane>, silent: Silent) {
    lane.close();
    let timeout = clock::now() + pool.settings.drain_timeout;
    let lost = async {
        match silent.await {
            Lost::Peer(death) => death,
            Lost::Connection => {
                lane.strand();
                std::future::pending().await
            }
        }
    };
    let death = tokio::select! {
        _ = lane.gauge().reached(Stage::Closed) => return,
        // The last handle on the sender goes, and with it hyper closes the connection in good order.
        () = lane.idle() => return,
        death = lost => death,
        () = tokio::time::sleep_until(timeout) => PeerDead {
            peer: lane.peer(),
            reason: Reason::Removed,
            at: clock::now(),
        },
    };
    lane.connection().kill_switch().kill(death);
}
