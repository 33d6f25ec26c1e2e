//! The silence watchdog of one connection: while calls are in flight, the socket is asked whether the peer's kernel still
//! answers. This bounds what the kernel alone does not: a peer that vanished without a word.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use tokio::time::Instant;

use super::confirm::{Answer, Confirm};
use super::lane::Lane;
use crate::clock;
use crate::connection::{CADENCE, Silence, SilenceRule, SocketProbe};
use crate::{PeerDead, Reason};

/// How often a connection with calls in flight is looked at while it is being heard: 0.3 µs and a timer each.
const STROLL: Duration = Duration::from_millis(20);

/// Silence from which on the looks come at the rule's [`CADENCE`].
const ALERT: Duration = Duration::from_millis(15);

/// Strolls without a call in flight after which the watchdog sleeps until it is woken by one.
const PATIENCE: u32 = 25;

/// Completes when the peer of `lane` is dead by its silence: nothing acknowledged for the rule's threshold *and* a fresh
/// dial not answered. Suspicion alone never completes it. The lane is not killed yet.
///
/// # Cancel safety
///
/// Cancel safe: begins anew when called again.
pub(super) async fn silence(lane: &Lane, confirm: &Confirm) -> PeerDead {
    let probe = lane.connection().probe();
    let mut idle = 0;
    loop {
        if lane.in_flight() > 0 {
            idle = 0;
        } else {
            idle += 1;
            if idle > PATIENCE {
                lane.busy().await;
            }
        }
        tokio::time::sleep(STROLL).await;
        if is_doubtful(&probe) && is_dead(&probe, confirm).await {
            return PeerDead {
                peer: lane.peer(),
                reason: Reason::Silence,
                at: clock::now(),
            };
        }
    }
}

/// Whether bytes are unacknowledged and nothing came for [`ALERT`].
fn is_doubtful(probe: &SocketProbe) -> bool {
    probe.unacknowledged_bytes().is_some_and(|bytes| bytes > 0)
        && probe
            .sample()
            .and_then(|sample| sample.silence())
            .is_some_and(|silence| silence >= ALERT)
}

/// Follows one silence to its end: `false` when the peer was heard, `true` when rule and dial agree that it is dead.
async fn is_dead(probe: &SocketProbe, confirm: &Confirm) -> bool {
    let mut rule = SilenceRule::default();
    let mut dial: Option<Pin<Box<dyn Future<Output = Answer> + Send + '_>>> = None;
    let mut answer = None;
    let mut next: Instant = clock::now();
    loop {
        let Some(sample) = probe.sample() else { return false };
        let Some(silence) = sample.silence().filter(|silence| *silence >= ALERT) else {
            return false;
        };
        match (rule.observe(&sample), answer) {
            (_, Some(Answer::Alive)) => {
                // The peer's kernel answers others. One lost segment is not a death: begin anew after a while.
                tokio::time::sleep(silence).await;
                return false;
            }
            (Silence::Suspect, Some(Answer::Gone(_))) => return true,
            (Silence::Quiet, _) => {}
            (Silence::Dial | Silence::Suspect, None) if dial.is_none() => {
                dial = Some(Box::pin(confirm.ask(clock::now())));
            }
            (Silence::Dial | Silence::Suspect, _) => {}
        }
        next += CADENCE;
        match &mut dial {
            Some(asking) if answer.is_none() => {
                if let Ok(answered) = tokio::time::timeout_at(next, asking).await {
                    answer = Some(answered);
                    dial = None;
                }
            }
            _ => tokio::time::sleep_until(next).await,
        }
    }
}
