//! How long an endpoint that is out waits for its next dial.

use std::time::Duration;

use super::Endpoint;
use crate::client::pool::Pool;
use crate::clock;
use crate::feed::PeerWatch;
use crate::health::Verdict;

/// The least time between two dials on demand of calls that find nobody in rotation.
const DEMAND_PAUSE: Duration = Duration::from_millis(100);

/// With many endpoints out, all of them together dial no faster than this by themselves, nor on demand.
const SPACING: Duration = Duration::from_micros(100);
const DEMAND_SPACING: Duration = Duration::from_millis(1);

impl Endpoint {
    /// Out, until the next dial is due: after a pause that grows, at a sign of life, or when nobody else is left.
    pub(super) async fn rest(&mut self) {
        let begun = clock::now();
        let known = u32::try_from(self.pool.known()).unwrap_or(u32::MAX);
        let pause = self.redial.pause(self.dice.f64()).max(SPACING.saturating_mul(known));
        let demanded = async {
            self.pool.demanded().await;
            tokio::time::sleep_until(begun + DEMAND_PAUSE.max(DEMAND_SPACING.saturating_mul(known))).await;
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = alive(&mut self.watch) => {}
            () = demanded => {}
        }
        self.pool.is_awake().await;
    }
}

/// Waits until the peer is said to be alive, who was not before. Cancel safe.
pub(super) async fn alive(watch: &mut PeerWatch) {
    while watch.changed().await.verdict != Verdict::Alive {}
}

impl Pool {
    /// Waits until a call finds nobody in rotation. Cancel safe.
    async fn demanded(&self) {
        let demand = self.demand.notified();
        let mut demand = std::pin::pin!(demand);
        // Listen first, look second: who waits already does not ask again.
        demand.as_mut().enable();
        if self.waiting() == 0 || !self.rotation.load().is_empty() {
            demand.await;
        }
    }
}
