//! How long a role takes for what it does.

use rustix::time::{ClockId, clock_gettime};

use super::Done;
use crate::clock::monotonic_ns;

/// Runs from its start.
#[derive(Debug)]
pub(super) struct Stopwatch {
    started_ns: u64,
    cpu_ns: u64,
}

impl Stopwatch {
    pub(super) fn start() -> Self {
        Self {
            started_ns: monotonic_ns(),
            cpu_ns: cpu_ns(),
        }
    }

    /// How long since it was started.
    pub(super) fn elapsed_ns(&self) -> u64 {
        monotonic_ns().saturating_sub(self.started_ns)
    }

    /// So many were done since it was started.
    pub(super) fn done(&self, count: u64) -> Done {
        Done {
            count,
            elapsed_ns: self.elapsed_ns(),
            cpu_ns: cpu_ns().saturating_sub(self.cpu_ns),
        }
    }
}

/// Processor time of this process, nanoseconds.
fn cpu_ns() -> u64 {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    seconds * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_takes_time_of_both_kinds() {
        let watch = Stopwatch::start();
        while cpu_ns() == watch.cpu_ns {
            std::hint::spin_loop();
        }
        let done = watch.done(1);
        assert!(done.cpu_ns > 0 && done.elapsed_ns > 0, "{done:?}");
    }
}
