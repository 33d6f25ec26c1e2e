//! Carries out a scenario's events at their times and notes when each really happened.

use std::time::Duration;

use super::cast::Cast;
use crate::clock::monotonic_ns;
use crate::scenario::{Chore, Event, Step, Target};

/// An event as it happened: the action took effect between the two times (`CLOCK_MONOTONIC` nanoseconds).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Performed {
    /// What was done, and to whom: never to the victim, but to the pod that it is.
    pub event: Event,
    /// When it should have been.
    pub planned_ns: u64,
    /// Before it was done.
    pub from_ns: u64,
    /// After it was done.
    pub until_ns: u64,
    /// The signal that ended the process, if it was killed.
    pub signal: Option<i32>,
}

/// Carries out `steps` on `cast`, counted from `start_ns`. Never returns without an error: the workload's end cancels it. What
/// concerns the monitor is left out where none runs.
///
/// # Cancel safety
/// `performed` holds every event that was completed.
pub(super) async fn perform(
    steps: &[Step],
    cast: &mut Cast,
    start_ns: u64,
    performed: &mut Vec<Performed>,
) -> anyhow::Result<std::convert::Infallible> {
    let monitor = cast.socket().is_some();
    for step in steps {
        let planned_ns = start_ns + u64::try_from(step.at.as_nanos()).unwrap_or(u64::MAX);
        match step.chore {
            Chore::Forget(pod) => {
                sleep_until(planned_ns).await;
                cast.forget(pod).await?;
            }
            Chore::Event(event) if event.on == Target::Monitor && !monitor => {}
            Chore::Event(event) => {
                // nft waits inside the namespace before its time comes.
                let prepared = cast.prepare(&event)?;
                sleep_until(planned_ns).await;
                let from_ns = monotonic_ns();
                if let Some(prepared) = prepared {
                    prepared.commit().await?;
                }
                let signal = cast.act(&event).await?;
                performed.push(Performed {
                    event,
                    planned_ns,
                    from_ns,
                    until_ns: monotonic_ns(),
                    signal,
                });
            }
        }
    }
    std::future::pending().await
}

async fn sleep_until(at_ns: u64) {
    tokio::time::sleep(Duration::from_nanos(at_ns.saturating_sub(monotonic_ns()))).await;
}
