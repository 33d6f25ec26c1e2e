//! By lot.

use std::sync::Arc;

use tokio::time::Instant;

use super::shares::{Shares, halves};
use super::{Call, Candidate, Picker, Policy};

/// Any endpoint, with a chance as large as its weight.
///
/// Takes nothing into account and shares nothing between threads nor between clients: thousands of clients never fall into
/// step, as round robins do that start together. The busiest of `n` endpoints carries about `log n / log log n` times the
/// mean when there are as many calls as endpoints (Mitzenmacher and Upfal, "Probability and Computing", 5.2);
/// [`TwoChoices`](super::TwoChoices) does better for one look more.
#[derive(Debug, Clone, Copy, Default)]
pub struct Random;

impl Policy for Random {
    fn prepare(&self, candidates: Arc<[Candidate]>, _: Instant) -> Box<dyn Picker> {
        Box::new(Lots(Shares::of(&candidates)))
    }
}

#[derive(Debug)]
struct Lots(Shares);

impl Picker for Lots {
    fn pick(&self, call: &Call<'_>) -> usize {
        self.0.draw(halves(call.random()).0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::fixture::{assert_shares, shares, weighing};
    use super::*;

    proptest! {
        #[test]
        fn every_pick_is_an_endpoint(seed: u64, weights in prop::collection::vec(0_u32.., 1..50)) {
            prop_assert_eq!(shares(&Random, &weighing(&weights), seed, 100).iter().sum::<usize>(), 100);
        }
    }

    #[test]
    fn chances_are_as_large_as_weights() {
        for weights in [&[1; 10][..], &[1, 2, 3, 4, 90], &[5, 5, 10]] {
            assert_shares(&shares(&Random, &weighing(weights), 3, 100_000), weights, 6.0);
        }
    }
}
