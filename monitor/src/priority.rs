//! Puts the reader before the programs it watches: on a busy node an ordinary thread waits milliseconds for its turn.

use std::io;

use thread_priority::unix::{set_thread_priority_and_policy, thread_native_id};
use thread_priority::{Error, RealtimeThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy};

/// Above every ordinary thread and below what real-time systems run: of `SCHED_FIFO`'s 1 to 99.
const PRIORITY: u8 = 10;

/// Gives the calling thread `SCHED_FIFO`. The kernel bounds it to 95 % of a second (`sched_rt_runtime_us`), should it ever
/// run away.
///
/// # Errors
/// This process may not (`CAP_SYS_NICE`).
pub(crate) fn raise() -> io::Result<()> {
    let policy = ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::Fifo);
    let priority = ThreadPriority::Crossplatform(PRIORITY.try_into().unwrap_or_default());
    set_thread_priority_and_policy(thread_native_id(), priority, policy).map_err(|error| match error {
        Error::OS(errno) => io::Error::from_raw_os_error(errno),
        other => io::Error::other(format!("{other:?}")),
    })
}

/// The same, where this process may; says in the log where it may not.
pub(crate) fn raise_or_say_so() {
    match raise() {
        Ok(()) => tracing::debug!(priority = PRIORITY, "the reader runs at SCHED_FIFO"),
        Err(error) => tracing::warn!(
            %error,
            "the reader runs at ordinary priority: with all processors busy verdicts are up to some milliseconds late. \
             Next: give the monitor CAP_SYS_NICE"
        ),
    }
}

/// Whether this process may do that; tried on a thread that ends at once.
pub(crate) fn may_raise() -> bool {
    let tried = std::thread::Builder::new().name("obit-priority".into()).spawn(raise);
    tried.is_ok_and(|thread| matches!(thread.join(), Ok(Ok(()))))
}
