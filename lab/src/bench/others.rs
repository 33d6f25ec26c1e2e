//! How much of the machine others took while a part was measured, as `/proc` says: what is measured beside them is theirs too.

use anyhow::Context as _;

use super::usage::family_cpu_seconds;
use crate::clock::monotonic_ns;

/// What the figure is called in results.
pub(super) const FIGURE: &str = "others_cpu_percent";

/// Times at one moment, all in seconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    clock: f64,
    /// Of all processors: in processes, or taken by the machine below this one.
    busy: f64,
    /// Of this process and its children that have ended.
    own: f64,
}

impl Moment {
    /// Now.
    #[expect(clippy::cast_precision_loss, reason = "times of a bench are below 2^53 ns")]
    pub(super) fn now() -> anyhow::Result<Self> {
        let stat = std::fs::read_to_string("/proc/stat").context("/proc/stat")?;
        let ticks = busy_ticks(&stat).context("/proc/stat has no times")?;
        Ok(Self {
            clock: monotonic_ns() as f64 / 1e9,
            busy: ticks as f64 / rustix::param::clock_ticks_per_second() as f64,
            own: family_cpu_seconds(std::process::id())?,
        })
    }

    /// What others took since then, percent of all `processors`.
    pub(super) fn others_percent(self, now: Self, processors: usize) -> f64 {
        let processors = u32::try_from(processors).unwrap_or(u32::MAX);
        let all = (now.clock - self.clock) * f64::from(processors);
        let others = (now.busy - self.busy) - (now.own - self.own);
        // Counted in ticks, each by itself: below zero is zero.
        (100.0 * others / all).clamp(0.0, 100.0)
    }
}

/// What all processors did in processes and what was stolen from them. Interrupts are left out: they serve the bench as well.
fn busy_ticks(stat: &str) -> Option<u64> {
    let all = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let times: Vec<u64> = all.split_whitespace().map_while(|it| it.parse().ok()).collect();
    let [user, nice, system, _idle, _iowait, _irq, _softirq, steal, ..] = times.as_slice() else {
        return None;
    };
    Some(user + nice + system + steal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interrupts_and_idleness_are_nobody_s_work_and_what_is_stolen_is() {
        let stat = "cpu  100 20 30 4000 50 60 70 8 0 0\ncpu0 1 2 3 4 5 6 7 8 0 0\n";
        assert_eq!(busy_ticks(stat), Some(158));
        assert_eq!(busy_ticks("cpu  1 2\n"), None);
    }

    #[test]
    fn what_this_process_did_itself_is_not_the_others() {
        let moment = |clock, busy, own| Moment { clock, busy, own };
        let percent = |busy, own| moment(10.0, 5.0, 1.0).others_percent(moment(20.0, busy, own), 2);
        assert_eq!(
            [percent(10.0, 6.0), percent(10.0, 1.0), percent(5.0, 2.0)],
            [0.0, 25.0, 0.0]
        );
        let now = Moment::now().unwrap();
        assert!(now.busy > 0.0 && now.busy >= now.own, "{now:?}");
    }
}
