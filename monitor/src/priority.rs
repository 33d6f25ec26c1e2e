//! Puts the reader before the programs it watches: on a busy node an ordinary thread waits milliseconds for its turn.

use thread_priority::unix::{set_thread_priority_and_policy, thread_native_id};
use thread_priority::{RealtimeThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy};

/// Above every ordinary thread and below what real-time systems run: of `SCHED_FIFO`'s 1 to 99.
const PRIORITY: u8 = 10;

/// Gives the calling thread `SCHED_FIFO`, where this process may (`CAP_SYS_NICE`), and says in the log where it may not.
/// The kernel bounds it to 95 % of a second (`sched_rt_runtime_us`), should it ever run away.
pub(crate) fn raise() {
    let policy = ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::Fifo);
    let priority = ThreadPriority::Crossplatform(PRIORITY.try_into().unwrap_or_default());
    match set_thread_priority_and_policy(thread_native_id(), priority, policy) {
        Ok(()) => tracing::debug!(priority = PRIORITY, "the reader runs at SCHED_FIFO"),
        Err(error) => tracing::warn!(
            ?error,
            "the reader runs at ordinary priority: with all processors busy verdicts are up to some milliseconds late. \
             Next: give the monitor CAP_SYS_NICE"
        ),
    }
}
