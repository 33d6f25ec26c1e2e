//! When the reader looks at the ring buffer by itself, and when it sleeps. Pure.
//!
//! ```text
//!            records                 quiet           quiet            quiet
//!   asleep ───────────▶ ticking ──▶ … ticking ──▶ (flag cleared) grace ──▶ asleep ─┐ watchdog
//!     ▲                    ▲  │1 ms      5 ms          │ 2 ms                ▲     │
//!     └────────────────────┴──┴──────── records ───────┘                     └─────┘
//! ```
//!
//! The programs wake a reader that sleeps, and rely on a ticking one to look (`monitor-ebpf`'s `emit`, which has the
//! argument why no wake-up is lost). Grace is the tick after the flag was cleared in which a record still may come
//! without a wake-up, from a program that had read the flag before.

use std::time::Duration;

/// Where the reader stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    /// Looks by itself; the number of looks that found nothing.
    Ticking(u8),
    /// Told the programs that it sleeps, and looks once more.
    Grace,
    /// Is woken.
    Asleep,
}

/// The ticks, the later the slower.
const TICKS: [Duration; 4] = [
    Duration::from_millis(1),
    Duration::from_millis(1),
    Duration::from_millis(2),
    Duration::from_millis(5),
];
const GRACE: Duration = Duration::from_millis(2);
/// For a program that was preempted between reading the flag and committing its record for longer than the grace.
const WATCHDOG: Duration = Duration::from_millis(50);

impl Pace {
    /// Whether the programs may take the reader for awake.
    pub(super) fn is_awake(self) -> bool {
        matches!(self, Self::Ticking(_))
    }

    /// How long to wait for a wake-up before the next look.
    pub(super) fn wait(self) -> Duration {
        match self {
            Self::Ticking(quiet) => TICKS.get(usize::from(quiet)).copied().unwrap_or(TICKS[TICKS.len() - 1]),
            Self::Grace => GRACE,
            Self::Asleep => WATCHDOG,
        }
    }

    /// After a look that found records.
    pub(super) fn busy() -> Self {
        Self::Ticking(0)
    }

    /// After the whole wait passed and the look found nothing.
    pub(super) fn quiet(self) -> Self {
        match self {
            Self::Ticking(quiet) if usize::from(quiet) + 1 < TICKS.len() => Self::Ticking(quiet + 1),
            Self::Ticking(_) => Self::Grace,
            Self::Grace | Self::Asleep => Self::Asleep,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_finds_nothing_slows_down_says_so_looks_once_more_and_sleeps() {
        let mut pace = Pace::busy();
        let mut steps = Vec::new();
        while pace != Pace::Asleep {
            steps.push((pace.is_awake(), pace.wait().as_millis()));
            pace = pace.quiet();
        }
        assert_eq!(steps, [(true, 1), (true, 1), (true, 2), (true, 5), (false, 2)]);
    }

    #[test]
    fn a_sleeping_reader_looks_on_the_watchdog_without_ever_seeming_awake() {
        assert_eq!(Pace::Asleep.quiet(), Pace::Asleep);
        assert_eq!(Pace::Asleep.wait(), WATCHDOG);
        assert!(!Pace::Asleep.is_awake() && !Pace::Grace.is_awake());
    }

    #[test]
    fn records_bring_it_back_to_the_fastest_tick() {
        assert_eq!(Pace::busy().wait(), Duration::from_millis(1));
        assert!(Pace::busy().is_awake());
    }
}
