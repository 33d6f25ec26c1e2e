//! What the monitor may have missed: the kernel half's losses, as heartbeats tell them. Beside the path of the data.

use std::time::Duration;

use crate::sighting::MonotonicNs;

/// Since when everything was seen, and since when not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Coverage {
    lost: u64,
    left_out: u64,
    checked: MonotonicNs,
    complete_since: MonotonicNs,
    blind_since: Option<MonotonicNs>,
    deaf_since: Option<MonotonicNs>,
}

/// Nothing lost for this long, and the monitor sees again.
const QUIET: Duration = Duration::from_secs(1);

impl Coverage {
    /// Everything is seen from `start` on.
    #[must_use]
    pub fn new(start: MonotonicNs) -> Self {
        Self {
            lost: 0,
            left_out: 0,
            checked: start,
            complete_since: start,
            blind_since: None,
            deaf_since: None,
        }
    }

    /// Takes in how many sightings were lost altogether. Returns whether some were since the last call.
    pub fn update(&mut self, now: MonotonicNs, lost: u64) -> bool {
        let more = lost > self.lost;
        if more {
            // Lost at some time since the last look.
            self.blind_since.get_or_insert(self.checked);
            self.complete_since = now;
        } else if now.since(self.complete_since) >= QUIET {
            self.blind_since = None;
        }
        self.lost = self.lost.max(lost);
        self.checked = now;
        more
    }

    /// Takes in whether what is known to have happened was seen; if not, since when it is known not to be. Returns whether
    /// that is news.
    pub fn hear(&mut self, now: MonotonicNs, deaf_since: Option<MonotonicNs>) -> bool {
        let news = deaf_since.is_some() != self.deaf_since.is_some();
        self.deaf_since = deaf_since.and(self.deaf_since).or(deaf_since);
        if news {
            self.complete_since = now;
        }
        news
    }

    /// Takes in how many runs of its programs the kernel left out altogether. Each may have been a sighting, but most were
    /// about peers nobody watches: they are told with the losses, and make nobody blind.
    pub fn leave_out(&mut self, total: u64) {
        self.left_out = self.left_out.max(total);
    }

    /// Sightings lost since the start, and runs left out.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost.saturating_add(self.left_out)
    }

    /// Since when none was lost.
    #[must_use]
    pub fn complete_since(&self) -> MonotonicNs {
        self.complete_since
    }

    /// Since when none arrive at all; `None` while they do.
    #[must_use]
    pub fn deaf_since(&self) -> Option<MonotonicNs> {
        self.deaf_since
    }

    /// Since when sightings are being lost, or none arrive at all; `None` while all is well.
    #[must_use]
    pub fn blind_since(&self) -> Option<MonotonicNs> {
        self.blind_since.into_iter().chain(self.deaf_since).min()
    }
}

#[cfg(test)]
mod tests {
    use super::{Coverage, MonotonicNs};

    fn ms(n: u64) -> MonotonicNs {
        MonotonicNs(n * 1_000_000)
    }

    #[test]
    fn coverage_is_complete_until_something_is_lost_and_again_after_a_second_without_loss() {
        let mut coverage = Coverage::new(ms(10));
        assert!(!coverage.update(ms(20), 0));
        assert_eq!((coverage.complete_since(), coverage.blind_since()), (ms(10), None));
        assert!(coverage.update(ms(30), 5));
        assert!(coverage.update(ms(40), 6));
        assert!(!coverage.update(ms(1_039), 6));
        assert_eq!(coverage.blind_since(), Some(ms(20)));
        assert!(!coverage.update(ms(1_040), 6));
        assert_eq!((coverage.complete_since(), coverage.blind_since()), (ms(40), None));
        assert_eq!(coverage.lost(), 6);
    }

    #[test]
    fn what_was_left_out_is_told_and_makes_nobody_blind() {
        let mut coverage = Coverage::new(ms(10));
        coverage.update(ms(20), 5);
        coverage.leave_out(3);
        assert_eq!(coverage.lost(), 8);
        assert!(!coverage.update(ms(1_020), 5), "nothing was lost since");
        assert_eq!(coverage.blind_since(), None);
    }

    #[test]
    fn who_does_not_hear_what_is_known_to_have_happened_is_blind_until_it_does() {
        let mut coverage = Coverage::new(ms(10));
        assert!(!coverage.hear(ms(20), None));
        assert!(coverage.hear(ms(130), Some(ms(30))));
        assert!(!coverage.hear(ms(1_230), Some(ms(1_130))));
        assert_eq!(coverage.blind_since(), Some(ms(30)));
        assert!(coverage.update(ms(1_240), 5));
        assert_eq!(coverage.blind_since(), Some(ms(10)), "the earlier of the two");
        assert!(coverage.hear(ms(2_230), None));
        assert_eq!(
            (coverage.complete_since(), coverage.blind_since()),
            (ms(2_230), Some(ms(1_240)).and(coverage.blind_since()))
        );
        assert!(coverage.blind_since().is_some(), "what was lost is lost still");
    }
}
