//! Puts the reader before the programs it watches: on a busy node an ordinary thread waits milliseconds for its turn.

use std::io;

use rustix::process::setpriority_process;
use thread_priority::unix::{set_thread_priority_and_policy, thread_native_id};
use thread_priority::{Error, RealtimeThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy};

/// Above every ordinary thread and below what real-time systems run: of `SCHED_FIFO`'s 1 to 99.
const PRIORITY: u8 = 10;

/// The most an ordinary thread can have.
const NICE: i32 = -20;

/// How a thread is scheduled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheduling {
    /// Before every ordinary thread.
    Fifo,
    /// As an ordinary thread with the largest share.
    Nice,
}

/// Gives the calling thread `SCHED_FIFO`. The kernel bounds it to 95 % of a second (`sched_rt_runtime_us`), should it ever
/// run away.
///
/// # Errors
/// This process may not (`CAP_SYS_NICE`), unless the thread has it already.
pub(crate) fn raise() -> io::Result<()> {
    let policy = ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::Fifo);
    let priority = ThreadPriority::Crossplatform(PRIORITY.try_into().unwrap_or_default());
    set_thread_priority_and_policy(thread_native_id(), priority, policy).map_err(|error| match error {
        Error::OS(errno) => io::Error::from_raw_os_error(errno),
        other => io::Error::other(format!("{other:?}")),
    })
}

/// The same; where it is refused, nice −20: kernels that give real-time work to some cgroups only
/// (`CONFIG_RT_GROUP_SCHED`) refuse the former even to root.
///
/// # Errors
/// Neither is allowed: why the former is not.
pub(crate) fn raise_as_far_as_allowed() -> io::Result<Scheduling> {
    let Err(refusal) = raise() else {
        return Ok(Scheduling::Fifo);
    };
    // Of the calling thread alone, other than POSIX says.
    match setpriority_process(None, NICE) {
        Ok(()) => Ok(Scheduling::Nice),
        Err(_) => Err(refusal),
    }
}

/// The same; says in the log what came of it.
pub(crate) fn raise_or_say_so() {
    match raise_as_far_as_allowed() {
        Ok(Scheduling::Fifo) => tracing::debug!(priority = PRIORITY, "the reader runs at SCHED_FIFO"),
        Ok(Scheduling::Nice) => tracing::warn!(
            nice = NICE,
            "the reader runs as an ordinary thread with the largest share: SCHED_FIFO is refused here, and with all \
             processors busy some verdicts are milliseconds late. Next: give the monitor's cgroup real-time runtime \
             (cpu.rt_runtime_us)"
        ),
        Err(error) => tracing::warn!(
            %error,
            "the reader runs at ordinary priority: with all processors busy verdicts are up to some milliseconds late. \
             Next: give the monitor CAP_SYS_NICE"
        ),
    }
}

/// Whether this process may run a thread at `SCHED_FIFO`; tried on one that ends at once.
pub(crate) fn may_raise() -> bool {
    on_trial() == Ok(Scheduling::Fifo)
}

/// How far this process may raise a thread; tried on one that ends at once.
///
/// # Errors
/// It may not, in the kernel's words.
pub(crate) fn on_trial() -> Result<Scheduling, String> {
    let tried = std::thread::Builder::new()
        .name("obit-priority".into())
        .spawn(raise_as_far_as_allowed);
    let result = tried.map_err(|error| error.to_string())?.join();
    let result = result.map_err(|_| "the thread panicked".to_owned())?;
    result.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use rustix::process::getpriority_process;
    use seccompiler::{SeccompAction, SeccompFilter, apply_filter};

    use super::*;

    /// As a kernel does that has no real-time runtime for this cgroup.
    fn refuse_real_time() {
        let filter = SeccompFilter::new(
            [(libc::SYS_sched_setscheduler, vec![])].into(),
            SeccompAction::Allow,
            SeccompAction::Errno(libc::EPERM.unsigned_abs()),
            std::env::consts::ARCH.try_into().unwrap(),
        );
        apply_filter(&seccompiler::BpfProgram::try_from(filter.unwrap()).unwrap()).unwrap();
    }

    #[test]
    fn where_real_time_is_refused_it_takes_the_largest_ordinary_share_or_tells_that_it_has_neither() {
        let work = || {
            refuse_real_time();
            let outcome = raise_as_far_as_allowed();
            (outcome.map_err(|error| error.raw_os_error()), getpriority_process(None))
        };
        let outcome = std::thread::spawn(work).join().unwrap();
        // The latter to users without CAP_SYS_NICE.
        let (raised, not) = ((Ok(Scheduling::Nice), Ok(NICE)), Err(Some(libc::EPERM)));
        assert!(
            outcome == raised || (outcome.0 == not && outcome.1 != Ok(NICE)),
            "{outcome:?}"
        );
        assert_ne!(getpriority_process(None), Ok(NICE), "it is that thread's alone");
    }
}
