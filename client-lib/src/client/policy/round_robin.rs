//! In turn.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::time::Instant;

use super::shares::{Shares, gcd};
use super::{Call, Candidate, Picker, Policy};

/// Each endpoint in its turn, blind to load: the fairest split when calls cost alike.
///
/// With weights, each unit of weight in its turn: in every cycle of as many calls as there are units each endpoint gets
/// exactly its weight. A step of about the golden section of the cycle keeps the turns of a heavy endpoint apart (the
/// three-distance theorem; Knuth, TAOCP 6.4), with no more state than a counter.
#[derive(Debug, Default)]
pub struct RoundRobin {
    next: Arc<AtomicUsize>,
}

impl RoundRobin {
    /// A rotation whose first pick is endpoint `first`. Give clients different starts, or all of them open with the
    /// same endpoint.
    #[must_use]
    pub fn starting_at(first: usize) -> Self {
        Self {
            next: Arc::new(AtomicUsize::new(first)),
        }
    }
}

impl Policy for RoundRobin {
    fn prepare(&self, candidates: Arc<[Candidate]>, _: Instant) -> Box<dyn Picker> {
        let shares = Shares::of(&candidates);
        let alike = shares.total() as usize == candidates.len();
        Box::new(Turns {
            next: self.next.clone(),
            step: if alike { 1 } else { golden_step(shares.total()) },
            shares,
        })
    }
}

/// The step nearest to the golden section of `cycle` that meets every point of it.
fn golden_step(cycle: u32) -> u32 {
    let section = u64::from(cycle) * 618_034 / 1_000_000;
    let section = u32::try_from(section).unwrap_or(cycle).max(1);
    (section..cycle).find(|step| gcd(cycle, *step) == 1).unwrap_or(1)
}

#[derive(Debug)]
struct Turns {
    next: Arc<AtomicUsize>,
    step: u32,
    shares: Shares,
}

impl Picker for Turns {
    fn pick(&self, _: &Call<'_>) -> usize {
        let turn = self.next.fetch_add(1, Ordering::Relaxed) as u64;
        let cycle = u64::from(self.shares.total());
        let point = turn % cycle * u64::from(self.step) % cycle;
        self.shares.at(u32::try_from(point).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::fixture::{shares, weighing};
    use super::*;

    proptest! {
        #[test]
        fn shares_differ_by_at_most_one(endpoints in 1_usize..20, rounds in 1_usize..200, first in 0_usize..1000) {
            let shares = shares(&RoundRobin::starting_at(first), &weighing(&vec![1; endpoints]), 0, rounds);
            let (least, most) = (shares.iter().min().unwrap(), shares.iter().max().unwrap());
            prop_assert!(most - least <= 1);
        }

        #[test]
        fn in_each_cycle_everyone_gets_its_weight(
            weights in prop::collection::vec(1_u32..30, 1..20), first in 0_usize..1000,
        ) {
            let candidates = weighing(&weights);
            let cycle = Shares::of(&candidates).total() as usize;
            let shares = shares(&RoundRobin::starting_at(first), &candidates, 0, cycle);
            for (share, weight) in shares.iter().zip(&weights) {
                prop_assert_eq!(share * weights[0] as usize, shares[0] * *weight as usize);
            }
        }
    }

    #[test]
    fn the_turns_of_a_heavy_endpoint_are_spread_over_the_cycle() {
        let candidates = weighing(&[1, 8, 1, 1, 1, 1, 1, 1, 1]);
        let policy = RoundRobin::default();
        for _ in 0..16 {
            // Half of the weight, so half of any four turns in a row.
            let share = shares(&policy, &candidates, 0, 4)[1];
            assert!((1..=3).contains(&share), "{share}");
        }
    }

    #[test]
    fn goes_on_across_the_wrap_of_its_counter_and_across_rotations() {
        let policy = RoundRobin::starting_at(usize::MAX);
        assert_eq!(shares(&policy, &weighing(&[1; 4]), 0, 9), [2, 2, 2, 3]);
        assert_eq!(shares(&policy, &weighing(&[1; 8]), 0, 1)[0], 1);
    }
}
