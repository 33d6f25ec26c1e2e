//! Damping: a peer that dies and rises several times a second is not announced dead each time. Pure.
//!
//! Good news is never held back, and neither is a suspicion that becomes a certainty. What is held back is the fall of a
//! peer that fell a moment ago: its subscribers meet the failures themselves, and each announced fall costs them the
//! connections they have just made again.

use std::time::Duration;

use obit_protocol::Verdict;

use crate::sighting::MonotonicNs;

/// The time between two announced falls of one peer, in the long run.
pub const FALL_INTERVAL: Duration = Duration::from_secs(1);

/// When a peer may next be announced to have fallen: the generic cell rate algorithm, one fall per [`FALL_INTERVAL`]. A
/// death may come one interval early, so that a peer that was suspected in vain is not believed alive when it does die.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Damper {
    next: MonotonicNs,
}

impl Damper {
    /// Whether a subscriber may be told now that a peer went from one verdict to another.
    ///
    /// # Errors
    /// Not before the time given.
    pub(super) fn admit(&mut self, from: Verdict, to: Verdict, now: MonotonicNs) -> Result<(), MonotonicNs> {
        if is_bad(from) || !is_bad(to) {
            return Ok(());
        }
        let earliest = match to {
            Verdict::Dead => self.next - FALL_INTERVAL,
            _ => self.next,
        };
        if now < earliest {
            return Err(earliest);
        }
        self.next = self.next.max(now) + FALL_INTERVAL;
        Ok(())
    }
}

fn is_bad(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Suspect | Verdict::Draining | Verdict::Dead)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ms(n: u64) -> MonotonicNs {
        MonotonicNs(100_000_000_000 + n * 1_000_000)
    }

    #[test]
    fn a_second_fall_waits_a_second_but_a_death_after_a_suspicion_does_not() {
        use Verdict::{Alive, Dead, Suspect};
        let mut damper = Damper::default();
        assert_eq!(damper.admit(Alive, Suspect, ms(0)), Ok(()));
        assert_eq!(damper.admit(Suspect, Dead, ms(1)), Ok(()));
        assert_eq!(damper.admit(Dead, Alive, ms(2)), Ok(()));
        assert_eq!(damper.admit(Alive, Suspect, ms(3)), Err(ms(1_000)));
        assert_eq!(damper.admit(Alive, Dead, ms(4)), Ok(()));
        assert_eq!(damper.admit(Dead, Alive, ms(5)), Ok(()));
        assert_eq!(damper.admit(Alive, Dead, ms(6)), Err(ms(1_000)));
        assert_eq!(damper.admit(Alive, Suspect, ms(7)), Err(ms(2_000)));
        assert_eq!(damper.admit(Alive, Suspect, ms(2_000)), Ok(()));
    }

    proptest! {
        #[test]
        fn in_any_time_no_more_falls_are_announced_than_seconds_and_two(
            steps in prop::collection::vec((0u64..400, 0usize..5), 1..400)
        ) {
            use Verdict::{Alive, Dead, Draining, Suspect, Unknown};
            let (mut damper, mut told, mut now) = (Damper::default(), Alive, 0);
            let mut falls: Vec<u64> = vec![];
            for (gap, to) in steps {
                now += gap;
                let to = [Unknown, Alive, Suspect, Draining, Dead][to];
                if damper.admit(told, to, ms(now)).is_ok() {
                    if !is_bad(told) && is_bad(to) {
                        falls.push(now);
                    }
                    told = to;
                } else {
                    prop_assert!(is_bad(to) && !is_bad(told));
                }
            }
            for (n, first) in falls.iter().enumerate() {
                for (count, last) in falls[n..].iter().enumerate() {
                    prop_assert!(count as u64 <= (last - first) / 1_000 + 1, "{falls:?}");
                }
            }
        }
    }
}
