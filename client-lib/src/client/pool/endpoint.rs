//! One endpoint's life, as control flow: the task that dials it, puts it into rotation, doubts it, drops it and probes it
//! again. The drawing is at [`Phase`].

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Pool;
use super::confirm::{Answer, Confirm, cause_of};
use super::driver;
use super::lane::{Gauge, Lane, Stage};
use super::redial::Redial;
use super::roster::Tenure;
use super::watchdog::silence;
use crate::PeerDead;
use crate::client::event::{Cause, Phase};
use crate::client::policy::Average;
use crate::clock;
use crate::connection::{self, ConnectionHandle};
use crate::feed::PeerWatch;
use crate::health::{Health, Reason, Verdict};

/// A connection that lived this long, or answered a call, earned an immediate redial when it ends.
const PROVEN: Duration = Duration::from_secs(1);

/// The least time between two dials on demand of calls that find nobody in rotation.
const DEMAND_PAUSE: Duration = Duration::from_millis(100);

/// The task's own state.
pub(super) struct Endpoint {
    pool: Arc<Pool>,
    peer: SocketAddr,
    tenure: Tenure,
    watch: PeerWatch,
    confirm: Arc<Confirm>,
    redial: Redial,
    dice: fastrand::Rng,
}

impl Endpoint {
    pub(super) fn new(pool: Arc<Pool>, peer: SocketAddr, tenure: Tenure) -> Self {
        Self {
            watch: pool.settings.feed.watch(peer),
            confirm: Arc::new(Confirm::new(pool.clone(), peer)),
            redial: Redial::default(),
            dice: fastrand::Rng::with_seed(fastrand::u64(..)),
            pool,
            peer,
            tenure,
        }
    }

    /// Lives until aborted. What is in flight then goes on; see [`drain`].
    pub(super) async fn live(mut self) {
        let mut phase = Phase::Connecting;
        loop {
            self.enter(phase, Cause::Dial, None);
            match self.connect(phase).await {
                Ok(lane) => {
                    let established = clock::now();
                    let (next, cause) = self.serve(&lane).await;
                    let proven = lane.has_served() || clock::now().saturating_duration_since(established) >= PROVEN;
                    self.retire(lane);
                    if proven {
                        self.redial = Redial::default();
                    }
                    if next == Phase::Connecting && proven {
                        phase = Phase::Connecting;
                        continue;
                    }
                    self.enter(Phase::Evicted, cause, None);
                }
                Err(cause) => self.enter(Phase::Evicted, cause, None),
            }
            self.rest().await;
            phase = Phase::Probation;
        }
    }

    fn enter(&self, phase: Phase, cause: Cause, lane: Option<&Arc<Lane>>) {
        self.pool.enter(self.peer, self.tenure, phase, cause, lane.cloned());
    }

    /// From the first SYN to the peer's SETTINGS.
    ///
    /// An endpoint that does not answer within the learnt bound is shown as evicted, but its dial goes on as the probe:
    /// a network slower than the bound still gets its connection.
    async fn connect(&mut self, phase: Phase) -> Result<Arc<Lane>, Cause> {
        let pool = self.pool.clone();
        let bound = pool.handshakes().bound();
        let dial = connection::dial(&pool.settings.feed, self.peer, &pool.settings.dial);
        let mut dial = std::pin::pin!(dial);
        let dialled = match tokio::time::timeout(bound, &mut dial).await {
            Ok(dialled) => dialled,
            Err(_) => {
                if phase == Phase::Connecting {
                    self.enter(Phase::Evicted, Cause::Unanswered, None);
                    self.enter(Phase::Probation, Cause::Dial, None);
                }
                tokio::select! {
                    dialled = &mut dial => dialled,
                    // Its SYN was lost before the peer came to life, and the kernel repeats it only after seconds.
                    () = alive(&mut self.watch) => connection::dial(&pool.settings.feed, self.peer, &pool.settings.dial).await,
                }
            }
        };
        let io = dialled.map_err(|error| cause_of(&error))?;
        let handle = io.handle();
        pool.learn(&handle);

        let average = pool.decay.map(|decay| Average::new(decay, pool.born));
        let gauge = Arc::new(Gauge::new(pool.queue.clone(), average));
        let opening = async {
            let (sender, driver) = driver::handshake(io, gauge.clone(), handle.kill_switch().clone())
                .await
                .map_err(|_| Cause::Closed)?;
            tokio::spawn(driver);
            match gauge.reached(Stage::Open).await {
                Stage::Open => Ok(sender),
                _ => Err(Cause::Closed),
            }
        };
        let opened = tokio::time::timeout(pool.settings.connect_timeout, opening).await;
        let sender = opened.unwrap_or(Err(Cause::Mute))?;
        Ok(Arc::new(Lane::new(self.peer, sender, gauge, handle)))
    }

    /// As long as the connection is good. Says where to go from here, and why.
    async fn serve(&mut self, lane: &Arc<Lane>) -> (Phase, Cause) {
        let established_ns = clock::monotonic_ns();
        let known = self.watch.health();
        if known.verdict == Verdict::Draining
            && let Some(end) = self.sit_out(lane, known).await
        {
            return end;
        }
        self.enter(Phase::Ready, Cause::Answered, Some(lane));
        loop {
            let health = tokio::select! {
                biased;
                ended = ended(lane) => return self.end_of(ended),
                death = silence(lane, &self.confirm) => {
                    lane.connection().kill_switch().kill(death);
                    return (Phase::Evicted, Cause::Silence);
                }
                health = self.watch.changed() => health,
            };
            match health.verdict {
                // A doubt older than the handshake is answered by it.
                Verdict::Suspect if health.kernel_ns == 0 || health.kernel_ns > established_ns => {
                    self.enter(Phase::Suspect, Cause::Verdict(health), Some(lane));
                    let answer = tokio::select! {
                        biased;
                        ended = ended(lane) => return self.end_of(ended),
                        answer = self.confirm.ask(clock::now()) => answer,
                    };
                    match answer {
                        Answer::Alive => self.enter(Phase::Ready, Cause::Answered, Some(lane)),
                        Answer::Gone(cause) => return (Phase::Evicted, cause),
                    }
                }
                Verdict::Draining => {
                    if let Some(end) = self.sit_out(lane, health).await {
                        return end;
                    }
                }
                // A death after this connection's birth threw its kill switch, which `ended` sees; an older one is of
                // somebody who had the address before.
                Verdict::Dead | Verdict::Suspect | Verdict::Alive | Verdict::Unknown => {}
            }
        }
    }

    /// Takes no new calls while the verdict is that it is going away; back when that is withdrawn, or says how it ended.
    async fn sit_out(&mut self, lane: &Arc<Lane>, health: Health) -> Option<(Phase, Cause)> {
        self.enter(Phase::Draining, Cause::Verdict(health), Some(lane));
        let undone = async {
            while self.watch.health().verdict == Verdict::Draining {
                self.watch.changed().await;
            }
        };
        let ended = tokio::select! {
            biased;
            ended = ended(lane) => Some(ended),
            () = undone => None,
        };
        match ended {
            Some(ended) => Some(self.end_of(ended)),
            None => {
                self.enter(Phase::Ready, Cause::Verdict(self.watch.health()), Some(lane));
                None
            }
        }
    }

    fn end_of(&self, ended: Ended) -> (Phase, Cause) {
        match ended {
            _ if self.watch.health().verdict == Verdict::Dead => (Phase::Evicted, Cause::Verdict(self.watch.health())),
            Ended::Killed => (Phase::Evicted, Cause::Closed),
            Ended::Closing => (Phase::Connecting, Cause::Closed),
        }
    }

    /// Out, until the next dial is due: after a pause that grows, at a sign of life, or when nobody else is left.
    async fn rest(&mut self) {
        let begun = clock::now();
        let pause = self.redial.pause(self.dice.f64());
        let demanded = async {
            self.pool.demanded().await;
            tokio::time::sleep_until(begun + DEMAND_PAUSE).await;
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = alive(&mut self.watch) => {}
            () = demanded => {}
        }
    }

    /// Out of rotation; its calls in flight go on under watch.
    fn retire(&self, lane: Arc<Lane>) {
        tokio::spawn(drain(self.pool.clone(), lane, self.confirm.clone()));
    }
}

/// Waits until the peer is said to be alive, who was not before. Cancel safe.
async fn alive(watch: &mut PeerWatch) {
    while watch.changed().await.verdict != Verdict::Alive {}
}

/// How a connection came to its end.
enum Ended {
    /// Its kill switch was thrown.
    Killed,
    /// It takes no new calls: GOAWAY, FIN, reset.
    Closing,
}

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

/// Lets the calls in flight on a connection that takes no new ones come to their end: under the watchdog, and not longer
/// than the pool's drain timeout.
pub(super) async fn drain(pool: Arc<Pool>, lane: Arc<Lane>, confirm: Arc<Confirm>) {
    lane.close();
    let timeout: Instant = clock::now() + pool.settings.drain_timeout;
    let death = tokio::select! {
        _ = lane.gauge().reached(Stage::Closed) => return,
        // The last handle on the sender goes, and with it hyper closes the connection in good order.
        () = lane.idle() => return,
        death = silence(&lane, &confirm) => death,
        () = tokio::time::sleep_until(timeout) => PeerDead {
            peer: lane.peer(),
            reason: Reason::Removed,
            at: clock::now(),
        },
    };
    lane.connection().kill_switch().kill(death);
}

impl Pool {
    /// A handshake completed.
    pub(super) fn learn(&self, connection: &ConnectionHandle) {
        if let Some(rtt) = connection.handshake_rtt() {
            self.handshakes().completed(rtt);
        }
    }

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
