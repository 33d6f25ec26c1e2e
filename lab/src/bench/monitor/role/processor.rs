//! On which processor a role runs, and before whom.

use anyhow::Context as _;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use thread_priority::unix::{set_thread_priority_and_policy, thread_native_id};
use thread_priority::{RealtimeThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy};

/// Keeps this thread on the first processor it may use, so that its speed does not depend on where it happens to run.
pub(super) fn stay_on_the_first() -> anyhow::Result<()> {
    let allowed = sched_getaffinity(None).context("sched_getaffinity")?;
    let first = (0..CpuSet::MAX_CPU).find(|number| allowed.is_set(*number));
    let mut only = CpuSet::new();
    only.set(first.context("no processor is allowed")?);
    sched_setaffinity(None, &only).context("sched_setaffinity")
}

/// Runs this thread before every ordinary one and behind the monitor's reader (`SCHED_FIFO`).
pub(super) fn before_ordinary_threads() -> anyhow::Result<()> {
    let policy = ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::Fifo);
    let priority = ThreadPriority::Crossplatform(1.try_into().unwrap_or_default());
    set_thread_priority_and_policy(thread_native_id(), priority, policy)
        .map_err(|error| anyhow::anyhow!("SCHED_FIFO is refused: {error:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_stays_on_one_processor() {
        std::thread::spawn(|| {
            stay_on_the_first().unwrap();
            assert_eq!(sched_getaffinity(None).unwrap().count(), 1);
        })
        .join()
        .unwrap();
    }
}
