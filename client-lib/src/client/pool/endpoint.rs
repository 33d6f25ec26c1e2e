//! One endpoint's life, as control flow: the task that dials it, puts it into rotation, doubts it, drops it and probes it
//! again. The drawing is at [`Phase`].

mod rest;

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::Pool;
use super::berth::Growth;
use super::confirm::Confirm;
use super::ending::{Ended, Silent, drain, over, silent};
use super::entry::{Seat, Tenure};
use super::extras::{Dialling, Stay, extras};
use super::judge::judged;
use super::lane::Lane;
use super::open::Failure;
use super::outlier::Tally;
use super::settle::{Settled, settle};
use crate::backoff::Backoff;
use crate::client::event::{Cause, Phase};
use crate::clock;
use crate::connection::{self, DialError};
use crate::feed::PeerWatch;
use crate::health::{Health, Verdict};
use rest::alive;

/// A connection that lived this long, or answered a call, earned an immediate redial when it ends.
const PROVEN: Duration = Duration::from_secs(1);

/// The first pause between dials of an endpoint that is out, and the longest: a restarted pod is back within seconds without
/// any monitor.
const REDIAL: Duration = Duration::from_millis(50);
const REDIAL_MOST: Duration = Duration::from_secs(3);

/// How long a connection goes on after the dial that was to replace it failed, before the next.
const AGE_RETRY: Duration = Duration::from_secs(30);

/// The state of a task that takes care of one of an endpoint's connections.
pub(super) struct Endpoint {
    pool: Arc<Pool>,
    peer: SocketAddr,
    place: (Tenure, Seat),
    stay: Stay,
    watch: PeerWatch,
    confirm: Arc<Confirm>,
    /// Whether the first connection is up.
    standing: Arc<watch::Sender<bool>>,
    redial: Backoff,
    dice: fastrand::Rng,
    tally: Option<Arc<Tally>>,
    /// Until the first connection that is not the endpoint's first takes calls.
    dialling: Option<Arc<Dialling>>,
    /// Of the connection that is to be retired, where it goes on.
    silent: Option<Silent>,
}

/// All connections of one endpoint. Lives until dropped; what is in flight then goes on, see [`drain`].
pub(super) async fn live(
    pool: Arc<Pool>,
    peer: SocketAddr,
    tenure: Tenure,
    growth: Option<Arc<Growth>>,
    tally: Option<Arc<Tally>>,
) {
    let confirm = Arc::new(Confirm::new(pool.clone(), peer));
    let standing = Arc::new(watch::Sender::new(false));
    let seat = |seat, stay| Endpoint {
        watch: pool.settings.feed.watch(peer),
        confirm: confirm.clone(),
        standing: standing.clone(),
        redial: Backoff::new(REDIAL, REDIAL_MOST),
        dice: fastrand::Rng::with_seed(fastrand::u64(..)),
        pool: pool.clone(),
        peer,
        place: (tenure, seat),
        stay,
        tally: tally.clone(),
        dialling: None,
        silent: None,
    };
    tokio::select! {
        () = seat(0, Stay::Always).lead() => {}
        () = extras(&pool, peer, growth, seat) => {}
        () = judged(&pool, peer, tenure, tally.as_deref()) => {}
    }
}

impl Endpoint {
    /// The first connection, which the endpoint is judged by.
    async fn lead(mut self) {
        let mut phase = Phase::Connecting;
        let mut why = Cause::Dial;
        loop {
            self.enter(phase, std::mem::replace(&mut why, Cause::Dial), None);
            // In a box of its own, here and elsewhere: it is large, and short beside a connection's life.
            match Box::pin(self.connect(phase)).await {
                Ok(lane) => {
                    let established = clock::now();
                    self.standing.send_replace(true);
                    let (lane, next, cause) = self.serve(lane).await;
                    self.standing.send_replace(false);
                    let proven = lane.has_served() || clock::now().saturating_duration_since(established) >= PROVEN;
                    self.retire(lane);
                    if next == Phase::Idle {
                        self.enter(Phase::Idle, cause, None);
                        self.pool.is_awake().await;
                        phase = Phase::Connecting;
                        continue;
                    }
                    if proven {
                        self.redial.reset();
                    }
                    if cause == Cause::Stranded {
                        // It has just answered a dial.
                        (phase, why) = (next, cause);
                        continue;
                    }
                    if next == Phase::Connecting && proven {
                        phase = Phase::Connecting;
                        continue;
                    }
                    self.enter(Phase::Evicted, cause, None);
                }
                Err(failure) => self.enter(Phase::Evicted, failure, None),
            }
            self.rest().await;
            phase = Phase::Probation;
        }
    }

    /// A further connection. It is dialled only while the first one stands: an endpoint that is out is asked by one dial, not
    /// by many.
    pub(super) async fn attend(mut self, dialling: Arc<Dialling>) {
        self.dialling = Some(dialling);
        let mut standing = self.standing.subscribe();
        loop {
            if standing.wait_for(|standing| *standing).await.is_err() {
                return;
            }
            self.enter(Phase::Connecting, Cause::Dial, None);
            match Box::pin(self.connect(Phase::Connecting)).await {
                Ok(lane) => {
                    let stay = self.stay;
                    let first = lane.clone();
                    let ended = tokio::select! {
                        (lane, _, cause) = self.serve(lane) => Some((lane, cause)),
                        () = stay.over(&first) => None,
                    };
                    let (lane, cause) = ended.unwrap_or((first, Cause::Closed));
                    if lane.has_served() {
                        self.redial.reset();
                    }
                    self.enter(Phase::Idle, cause, None);
                    self.retire(lane);
                }
                Err(failure) => self.enter(Phase::Idle, failure, None),
            }
            self.dialling = None;
            if self.stay == Stay::WhileUsed {
                return;
            }
            self.rest().await;
        }
    }

    fn enter(&self, phase: Phase, why: impl Into<Failure>, lane: Option<&Arc<Lane>>) {
        self.pool.enter(self.peer, self.place, phase, why.into(), lane.cloned());
    }

    /// From the first SYN to the peer's greeting.
    ///
    /// An endpoint that does not answer within the learnt bound is shown as evicted, but its dial goes on as the probe:
    /// a network slower than the bound still gets its connection.
    async fn connect(&mut self, phase: Phase) -> Result<Arc<Lane>, Failure> {
        let pool = self.pool.clone();
        let bound = pool.handshakes().bound();
        let begun = clock::now();
        let dial = connection::dial(&pool.settings.feed, self.peer, &pool.settings.dial);
        let mut dial = std::pin::pin!(dial);
        let dialled = match tokio::time::timeout(bound, &mut dial).await {
            Ok(dialled) => {
                if let Err(DialError::PeerDead(_)) = dialled {
                    self.saved(begun);
                }
                dialled
            }
            Err(_) => {
                if phase == Phase::Connecting {
                    self.saved(begun);
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
        pool.open(self.peer, dialled, self.tally.clone()).await
    }

    /// A dial that began at `begun` is known to lead nowhere before its time.
    fn saved(&self, begun: Instant) {
        let spent = clock::now().saturating_duration_since(begun);
        let left = self.pool.settings.connect_timeout.saturating_sub(spent);
        self.pool.saved(self.peer, self.place.0, left);
    }

    /// As long as the connection is good, or the one that takes its place when it is old. Says where to go from here, and
    /// why.
    async fn serve(&mut self, mut lane: Arc<Lane>) -> (Arc<Lane>, Phase, Cause) {
        let mut established_ns = clock::monotonic_ns();
        // Goes on whatever else is heard: a dial it has begun is not begun anew for a suspicion.
        let mut silent = silent(lane.clone(), self.confirm.clone());
        // A verdict that was heard and not acted on.
        let mut heard: Option<Health> = None;
        let known = self.watch.health();
        if known.verdict == Verdict::Draining {
            match self.sit_out(&lane, &mut silent, known).await {
                Ok(next) => heard = Some(next),
                Err((phase, cause)) => return (lane, phase, cause),
            }
        } else {
            self.enter(Phase::Ready, Cause::Answered, Some(&lane));
        }
        // Not before: nobody is to take it for missing.
        self.dialling = None;
        let mut old_at = self.old_at();
        let mut successor: Option<Successor> = None;
        loop {
            let health = tokio::select! {
                biased;
                ended = over(&lane, &mut silent) => {
                    let (phase, cause) = self.end_of(ended);
                    return (lane, phase, cause);
                }
                health = next(&mut heard, &mut self.watch) => health,
                () = self.pool.falls_asleep() => return (lane, Phase::Idle, Cause::Unused),
                () = clock::reached(old_at) => {
                    if self.stay == Stay::WhileUsed {
                        return (lane, Phase::Idle, Cause::Aged);
                    }
                    old_at = None;
                    successor = Some(Box::pin(self.pool.clone().dial_and_open(self.peer, self.tally.clone())));
                    continue;
                }
                succeeding = succeed(&mut successor) => {
                    successor = None;
                    match succeeding {
                        Ok(young) => {
                            self.enter(Phase::Ready, Cause::Aged, Some(&young));
                            silent = self::silent(young.clone(), self.confirm.clone());
                            self.retire(std::mem::replace(&mut lane, young));
                            established_ns = clock::monotonic_ns();
                            old_at = self.old_at();
                        }
                        Err(failure) => {
                            tracing::debug!(peer = %self.peer, cause = %failure.cause, "no successor for an old connection");
                            old_at = Some(clock::now() + AGE_RETRY);
                        }
                    }
                    continue;
                }
            };
            match health.verdict {
                // A doubt older than the handshake is answered by it.
                Verdict::Suspect if health.kernel_ns == 0 || health.kernel_ns > established_ns => {
                    self.enter(Phase::Suspect, Cause::Verdict(health), Some(&lane));
                    // After the rotation has heard of it: who is told looks for another endpoint there.
                    lane.doubt();
                    match Box::pin(settle(&lane, &mut silent, &self.confirm)).await {
                        Settled::Stands => self.enter(Phase::Ready, Cause::Answered, Some(&lane)),
                        Settled::Gone(cause) => {
                            // What it found out so far is for whoever watches the calls in flight.
                            self.silent = Some(silent);
                            return (lane, Phase::Evicted, cause);
                        }
                        Settled::Ended(ended) => {
                            let (phase, cause) = self.end_of(ended);
                            return (lane, phase, cause);
                        }
                    }
                }
                Verdict::Draining => match self.sit_out(&lane, &mut silent, health).await {
                    Ok(next) => heard = Some(next),
                    Err((phase, cause)) => return (lane, phase, cause),
                },
                // A death after this connection's birth threw its kill switch, which `ended` sees; an older one is of
                // somebody who had the address before.
                Verdict::Dead | Verdict::Suspect | Verdict::Alive | Verdict::Unknown => {}
            }
        }
    }

    /// When a connection made now is to be replaced: a tenth earlier or later, so that not all are at once.
    fn old_at(&mut self) -> Option<Instant> {
        let age = self.pool.settings.max_age?;
        Some(clock::now() + age.mul_f64(0.9 + 0.2 * self.dice.f64()))
    }

    /// Takes no new calls while the verdict is that it is going away. Back, with the verdict that withdrew it; or how it ended.
    async fn sit_out(
        &mut self,
        lane: &Arc<Lane>,
        silent: &mut Silent,
        health: Health,
    ) -> Result<Health, (Phase, Cause)> {
        self.enter(Phase::Draining, Cause::Verdict(health), Some(lane));
        let undone = async {
            loop {
                let health = self.watch.health();
                if health.verdict != Verdict::Draining {
                    return health;
                }
                self.watch.changed().await;
            }
        };
        let undone = tokio::select! {
            biased;
            ended = over(lane, silent) => Err(ended),
            health = undone => Ok(health),
        };
        let health = undone.map_err(|ended| self.end_of(ended))?;
        self.enter(Phase::Ready, Cause::Verdict(health), Some(lane));
        Ok(health)
    }

    fn end_of(&self, ended: Ended) -> (Phase, Cause) {
        match ended {
            Ended::Silent => (Phase::Evicted, Cause::Silence),
            _ if self.watch.health().verdict == Verdict::Dead => (Phase::Evicted, Cause::Verdict(self.watch.health())),
            Ended::Killed => (Phase::Evicted, Cause::Closed),
            Ended::Stranded => (Phase::Connecting, Cause::Stranded),
            Ended::Closing => (Phase::Connecting, Cause::Closed),
        }
    }

    /// Out of rotation; its calls in flight go on under watch.
    fn retire(&mut self, lane: Arc<Lane>) {
        let silent = self.silent.take();
        let silent = silent.unwrap_or_else(|| self::silent(lane.clone(), self.confirm.clone()));
        tokio::spawn(drain(self.pool.clone(), lane, silent));
    }
}

/// The dial of the connection that is to take an old one's place.
type Successor = Pin<Box<dyn Future<Output = Result<Arc<Lane>, Failure>> + Send>>;

/// Cancel safe.
async fn succeed(successor: &mut Option<Successor>) -> Result<Arc<Lane>, Failure> {
    match successor {
        Some(successor) => successor.await,
        None => std::future::pending().await,
    }
}

/// The verdict that was heard, or else the next. Cancel safe.
async fn next(heard: &mut Option<Health>, watch: &mut PeerWatch) -> Health {
    match heard.take() {
        Some(health) => health,
        None => watch.changed().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes<A, B, C, D, E, F>(_: fn(A, B, C, D, E) -> F) -> usize {
        size_of::<F>()
    }

    /// What a dial, TLS and a question about its health need is held only meanwhile.
    #[test]
    fn an_endpoints_task_is_small_while_its_connection_stands() {
        let bytes = bytes(live);
        assert!(bytes <= 4096, "{bytes} bytes");
    }
}
