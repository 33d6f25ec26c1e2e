//! How long before a deadline the reader gets up, so as to be awake when it passes. Pure.
//!
//! A timer wakes a thread late: by some microseconds on bare metal, by 100 to 200 in a virtual machine whose processor had
//! gone to rest. The lateness is learnt from every alarm (mean plus mean deviation, as TCP learns its round trips, RFC
//! 6298), the alarm is set so much earlier, and what is left is spent looking at the ring buffer without sleeping. That
//! time is bounded: at most [`LONGEST`] each, and one part in [`SHARE`] of all time. A storm of deadlines is met by the bare
//! timer.

use std::time::Duration;

use crate::sighting::MonotonicNs;

/// The longest lead.
const LONGEST: Duration = Duration::from_micros(250);

/// Of all time one part in this many may be spent awake before deadlines.
const SHARE: u32 = 100;

/// What may be saved up: eight of the longest leads.
const SAVED_MAX: Duration = Duration::from_millis(2);

/// What was learnt of the alarm, and what may be spent.
#[derive(Debug)]
pub(super) struct Lead {
    late: Duration,
    deviation: Duration,
    saved: Duration,
    saved_at: MonotonicNs,
}

impl Lead {
    /// Nothing is known: the first alarms are not early.
    pub(super) fn new(now: MonotonicNs) -> Self {
        Self {
            late: Duration::ZERO,
            deviation: Duration::ZERO,
            saved: SAVED_MAX,
            saved_at: now,
        }
    }

    /// An alarm set for `at` rang at `now`. One that rang early says nothing.
    pub(super) fn rang(&mut self, at: MonotonicNs, now: MonotonicNs) {
        if now < at {
            return;
        }
        // Beyond any lead it does not matter by how much.
        let late = now.since(at).min(2 * LONGEST);
        let off = late.abs_diff(self.late);
        self.deviation = (3 * self.deviation + off) / 4;
        self.late = (7 * self.late + late) / 8;
    }

    /// How much before a deadline to get up.
    pub(super) fn length(&mut self, now: MonotonicNs) -> Duration {
        let earned = now.since(self.saved_at) / SHARE;
        self.saved = (self.saved + earned).min(SAVED_MAX);
        self.saved_at = now;
        let wanted = (self.late + self.deviation).min(LONGEST);
        if wanted <= self.saved { wanted } else { Duration::ZERO }
    }

    /// So much time was spent awake.
    pub(super) fn spend(&mut self, time: Duration) {
        self.saved = self.saved.saturating_sub(time);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const START: MonotonicNs = MonotonicNs(1_000_000_000);

    fn us(n: u64) -> Duration {
        Duration::from_micros(n)
    }

    fn taught(late: &[u64]) -> Lead {
        let mut lead = Lead::new(START);
        for late in late {
            lead.rang(START, START + us(*late));
        }
        lead
    }

    #[test]
    fn a_steady_lateness_becomes_the_lead() {
        let length = taught(&[120; 64]).length(START);
        assert!((us(119)..=us(123)).contains(&length), "{length:?}");
        assert_eq!(taught(&[]).length(START), Duration::ZERO);
    }

    #[test]
    fn an_alarm_that_rang_early_teaches_nothing() {
        let mut lead = taught(&[]);
        lead.rang(START + us(500), START);
        assert_eq!(lead.length(START), Duration::ZERO);
    }

    #[test]
    fn what_was_spent_comes_back_at_one_part_in_a_hundred() {
        let mut lead = taught(&[100; 64]);
        lead.spend(SAVED_MAX);
        assert_eq!(lead.length(START), Duration::ZERO);
        assert_eq!(lead.length(START + us(9_000)), Duration::ZERO);
        assert!(lead.length(START + us(11_000)) > us(90));
    }

    proptest! {
        #[test]
        fn no_storm_spends_more_than_its_share(steps in prop::collection::vec((0u64..5_000, 0u64..2_000), 1..400)) {
            let mut lead = Lead::new(START);
            let (mut now, mut spent) = (START, Duration::ZERO);
            for (pause, late) in steps {
                now = now + us(pause);
                lead.rang(now, now + us(late));
                let length = lead.length(now);
                prop_assert!(length <= LONGEST);
                lead.spend(length);
                spent += length;
                now = now + length;
            }
            prop_assert!(spent <= SAVED_MAX + now.since(START) / SHARE);
        }
    }
}
