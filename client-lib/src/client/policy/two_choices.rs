//! The less busy of two endpoints drawn at random.

use std::sync::Arc;

use tokio::time::Instant;

use super::shares::{Shares, halves};
use super::{Call, Candidate, Picker, Policy};

/// Power of two choices on calls in flight: draws two different endpoints, by weight, and takes the one that carries less
/// in relation to its weight.
///
/// A slow endpoint collects calls in flight and is passed over; the worst queue stays within `log log n` of the mean
/// (Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", 2001). Threads share nothing but what they
/// look at.
#[derive(Debug, Clone, Copy, Default)]
pub struct TwoChoices;

impl Policy for TwoChoices {
    fn prepare(&self, candidates: Arc<[Candidate]>, _: Instant) -> Box<dyn Picker> {
        Box::new(Pairs {
            shares: Shares::of(&candidates),
            candidates,
        })
    }
}

#[derive(Debug)]
struct Pairs {
    candidates: Arc<[Candidate]>,
    shares: Shares,
}

impl Picker for Pairs {
    fn pick(&self, call: &Call<'_>) -> usize {
        let (one, other) = halves(call.random());
        let one = self.shares.draw(one);
        // The second among the others, so that two are always compared.
        let other = self.shares.draw_other(one, other);
        if self.candidates[other].less_busy_than(&self.candidates[one]) {
            other
        } else {
            one
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::fixture::{assert_shares, piled, serving, shares, weighing};
    use super::*;

    proptest! {
        #[test]
        fn never_takes_the_busiest_when_others_are_idle(seed: u64, endpoints in 2_usize..16, busy in 0_usize..16) {
            let busy = busy % endpoints;
            let mut loads = vec![0; endpoints];
            loads[busy] = 10;
            prop_assert_eq!(shares(&TwoChoices, &serving(&loads), seed, 200)[busy], 0);
        }

        #[test]
        fn equal_endpoints_get_equal_shares(seed: u64, endpoints in 1_usize..10) {
            // Every call stays in flight, so the policy sees what it did.
            for share in piled(&TwoChoices, &weighing(&vec![1; endpoints]), seed, endpoints * 1000) {
                prop_assert!(share.abs_diff(1000) <= 10, "{}", share);
            }
        }

        #[test]
        fn the_same_dice_give_the_same_picks(seed: u64) {
            let candidates = weighing(&[1; 7]);
            prop_assert_eq!(shares(&TwoChoices, &candidates, seed, 50), shares(&TwoChoices, &candidates, seed, 50));
        }
    }

    #[test]
    fn shares_follow_the_weights_busy_or_idle() {
        let weights = [1, 2, 3, 10];
        assert_shares(&piled(&TwoChoices, &weighing(&weights), 7, 16_000), &weights, 2.0);
        assert_shares(&shares(&TwoChoices, &weighing(&weights), 7, 16_000), &weights, 10.0);
    }
}
