//! A growing share for who has just come.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::scaled::scaled;
use super::{Call, Candidate, Picker, Policy};

/// Into how many steps the window is cut.
const STEPS: u32 = 20;

/// The share a newcomer begins with, in relation to its weight.
const LEAST: f64 = 0.1;

/// Another policy, under weights that grow from a tenth to the full over a window after an endpoint became ready.
///
/// Take it for servers that are slow until their caches and compilers are warm. What counts is the lead of the others: when
/// all came at once, as at the client's own start, all get their full share. An endpoint that was suspected only, or that
/// reconnects after a GOAWAY, does not begin again; one that was evicted does. Follows Envoy's slow start.
///
/// A pick costs what the policy inside costs; that is prepared anew twenty times while a window lasts. With
/// [`HeaderHash`](super::HeaderHash) inside, keys come to the newcomer bit by bit.
///
/// ```
/// use std::time::Duration;
/// use obit::policy::{LeastRequest, SlowStart};
///
/// let policy = SlowStart::over(Duration::from_secs(30), LeastRequest::default());
/// ```
#[derive(Debug, Clone)]
pub struct SlowStart<P> {
    window: Duration,
    aggression: f64,
    policy: P,
}

impl<P: Policy> SlowStart<P> {
    /// `policy`, with newcomers that reach their full share after `window`.
    #[must_use]
    pub fn over(window: Duration, policy: P) -> Self {
        Self {
            window,
            aggression: 1.0,
            policy,
        }
    }

    /// Above 1 the share grows fast at first, below 1 slowly: it is the elapsed part of the window to the power of
    /// `1 / aggression`. Default: 1, a straight line.
    #[must_use]
    pub fn with_aggression(self, aggression: f64) -> Self {
        Self {
            aggression: aggression.max(f64::MIN_POSITIVE),
            ..self
        }
    }

    /// The part of its full share that is due after `elapsed` in rotation.
    fn due(&self, elapsed: Duration) -> f64 {
        if elapsed >= self.window {
            return 1.0;
        }
        elapsed
            .div_duration_f64(self.window)
            .powf(1.0 / self.aggression)
            .max(LEAST)
    }
}

impl<P: Policy> Policy for SlowStart<P> {
    fn prepare(&self, candidates: Arc<[Candidate]>, now: Instant) -> Box<dyn Picker> {
        let due = |candidate: &Candidate| self.due(now.saturating_duration_since(candidate.since()));
        let (least, most) = candidates.iter().map(due).fold((1.0, 0.0), |(least, most), due| {
            (f64::min(least, due), f64::max(most, due))
        });
        if least >= 1.0 {
            return self.policy.prepare(candidates, now);
        }
        let candidates = if least < most {
            scaled(&candidates, due)
        } else {
            candidates
        };
        Box::new(Step {
            picker: self.policy.prepare(candidates, now),
            ends: now + (self.window / STEPS).max(Duration::from_millis(1)),
        })
    }

    fn measures(&self) -> Option<Duration> {
        self.policy.measures()
    }
}

/// One step of a ramp.
#[derive(Debug)]
struct Step {
    picker: Box<dyn Picker>,
    ends: Instant,
}

impl Picker for Step {
    fn pick(&self, call: &Call<'_>) -> usize {
        self.picker.pick(call)
    }

    fn stale_at(&self) -> Option<Instant> {
        let inside = self.picker.stale_at();
        Some(inside.map_or(self.ends, |inside| inside.min(self.ends)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::fixture::{Scripted, assert_shares, endpoint, piled_at, tally};
    use super::super::{LeastRequest, Random, RoundRobin};
    use super::*;

    const WINDOW: Duration = Duration::from_secs(30);

    /// Endpoints that came into rotation so many seconds after `begun`.
    fn coming(begun: Instant, after: &[u64]) -> Arc<[Candidate]> {
        let candidate =
            |(index, after): (usize, &u64)| Candidate::new(&endpoint(index), begun + Duration::from_secs(*after));
        after.iter().enumerate().map(candidate).collect()
    }

    /// Parts in a thousand that go to the endpoint that came last, of five, so many seconds after it came.
    fn share_after(seconds: u64) -> usize {
        let outside = Scripted::seeded(1);
        let candidates = coming(outside.now.get(), &[0, 0, 0, 0, 100]);
        outside.pass(Duration::from_secs(100 + seconds));
        let picker = SlowStart::over(WINDOW, RoundRobin::default()).prepare(candidates, outside.now.get());
        tally(&*picker, 5, &outside, 100_000)[4] / 100
    }

    #[test]
    fn a_newcomer_s_share_grows_from_a_tenth_to_the_full_in_a_straight_line() {
        // Of a weight of 4 + f.
        for (seconds, expected) in [(0, 24), (3, 24), (6, 47), (15, 111), (24, 166), (30, 200), (60, 200)] {
            assert!(
                share_after(seconds).abs_diff(expected) <= 1,
                "{} after {seconds} s",
                share_after(seconds)
            );
        }
    }

    #[test]
    fn those_who_come_together_share_evenly_from_the_start() {
        let outside = Scripted::seeded(1);
        let picker = SlowStart::over(WINDOW, Random).prepare(coming(outside.now.get(), &[0; 5]), outside.now.get());
        assert_shares(&tally(&*picker, 5, &outside, 50_000), &[1; 5], 5.0);
    }

    #[test]
    fn a_newcomer_is_not_overrun_by_a_policy_that_likes_the_idle() {
        let outside = Scripted::seeded(1);
        let candidates = coming(outside.now.get(), &[0, 0, 0, 0, 100]);
        outside.pass(Duration::from_secs(100));
        let policy = SlowStart::over(WINDOW, LeastRequest::default());
        assert_shares(
            &piled_at(&policy, &candidates, &outside, 4100),
            &[10, 10, 10, 10, 1],
            5.0,
        );
    }

    #[test]
    fn it_asks_to_be_prepared_again_only_while_somebody_is_new() {
        let outside = Scripted::seeded(1);
        let candidates = coming(outside.now.get(), &[0, 10]);
        let policy = SlowStart::over(WINDOW, Random);
        let mut steps = 0;
        outside.pass(Duration::from_secs(10));
        while let Some(at) = policy.prepare(candidates.clone(), outside.now.get()).stale_at() {
            assert!(at > outside.now.get());
            outside.now.set(at);
            steps += 1;
        }
        assert_eq!(steps, STEPS);
    }

    proptest! {
        #[test]
        fn what_is_due_never_shrinks_and_stays_within_bounds(millis in 0_u64..60_000, more in 0_u64..60_000, aggression in 0.1_f64..10.0) {
            let policy = SlowStart::over(WINDOW, Random).with_aggression(aggression);
            let (now, later) = (policy.due(Duration::from_millis(millis)), policy.due(Duration::from_millis(millis + more)));
            prop_assert!(LEAST <= now && now <= later && later <= 1.0);
        }
    }
}
