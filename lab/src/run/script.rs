//! Carries out a scenario's events at their times and notes when each really happened.

use std::time::Duration;

use crate::child::LabProcess;
use crate::clock::monotonic_ns;
use crate::dns::TTL_SECONDS;
use crate::net::{Host, Prepared, host_unreachable, silence};
use crate::scenario::{Action, Scenario};

/// An event as it happened: the action took effect between the two times (`CLOCK_MONOTONIC` nanoseconds).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Performed {
    /// What was done.
    pub action: Action,
    /// When it should have been.
    pub planned_ns: u64,
    /// Before it was done.
    pub from_ns: u64,
    /// After it was done.
    pub until_ns: u64,
}

/// The pod that dies.
#[derive(Debug)]
pub(super) struct Victim<'a> {
    pub(super) host: &'a Host,
    pub(super) process: &'a mut LabProcess,
}

/// What the script leaves behind, also when the workload ends before the script does.
#[derive(Debug, Default)]
pub(super) struct Record {
    pub(super) performed: Vec<Performed>,
    /// How the victim's process ended.
    pub(super) killed_by: Option<i32>,
}

/// Carries out `scenario` on `victim`, counted from `start_ns`; then lets `dns` forget it. Never returns without an
/// error: the workload's end cancels it.
///
/// # Cancel safety
/// `record` holds every event that was completed.
pub(super) async fn perform(
    scenario: &Scenario,
    victim: Victim<'_>,
    dns: &mut LabProcess,
    start_ns: u64,
    record: &mut Record,
) -> anyhow::Result<std::convert::Infallible> {
    let Victim { host, process } = victim;
    for event in &scenario.events {
        // nft waits inside the namespace before its time comes.
        let prepared = match event.action {
            Action::Kill => None,
            Action::Silence => Some(Prepared::new(host, silence())?),
            Action::RejectHostUnreachable => Some(Prepared::new(host, host_unreachable())?),
        };
        let planned_ns = start_ns + nanoseconds(event.at);
        sleep_until(planned_ns).await;
        let from_ns = monotonic_ns();
        match prepared {
            None => {
                let status = process.kill().await?;
                record.killed_by = std::os::unix::process::ExitStatusExt::signal(&status);
            }
            Some(prepared) => prepared.commit().await?,
        }
        record.performed.push(Performed {
            action: event.action,
            planned_ns,
            from_ns,
            until_ns: monotonic_ns(),
        });
    }
    if let Some(death) = scenario.death() {
        sleep_until(start_ns + nanoseconds(death.at + Duration::from_secs(TTL_SECONDS.into()))).await;
        dns.tell(&host.address.to_string()).await?;
    }
    std::future::pending().await
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

async fn sleep_until(at_ns: u64) {
    tokio::time::sleep(Duration::from_nanos(at_ns.saturating_sub(monotonic_ns()))).await;
}
