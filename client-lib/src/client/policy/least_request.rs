//! The least busy of several endpoints.

use std::sync::Arc;

use tokio::time::Instant;

use super::shares::{Shares, halves};
use super::{Call, Candidate, Picker, Policy};

/// Fewest calls in flight, in relation to the weight: among all endpoints while they are no more than
/// [`looks`](Self::looking_at), among so many drawn by weight where there are more.
///
/// To compare all of many would make a pick cost their number, and would send every client of a service to the same idle
/// endpoint at once. Envoy's `LEAST_REQUEST` and gRPC's `least_request` (gRFC A48) draw for the same reasons, two unless
/// told otherwise; [`TwoChoices`](super::TwoChoices) is that, with two that are never the same. Take this one for few
/// endpoints and long or very uneven calls.
#[derive(Debug, Clone, Copy)]
pub struct LeastRequest {
    looks: usize,
}

impl LeastRequest {
    /// Compares `looks` endpoints for each pick, at least one.
    #[must_use]
    pub fn looking_at(looks: usize) -> Self {
        Self { looks: looks.max(1) }
    }
}

impl Default for LeastRequest {
    /// Compares eight.
    fn default() -> Self {
        Self::looking_at(8)
    }
}

impl Policy for LeastRequest {
    fn prepare(&self, candidates: Arc<[Candidate]>, _: Instant) -> Box<dyn Picker> {
        Box::new(Least {
            looks: self.looks,
            shares: Shares::of(&candidates),
            candidates,
        })
    }
}

#[derive(Debug)]
struct Least {
    looks: usize,
    candidates: Arc<[Candidate]>,
    shares: Shares,
}

impl Picker for Least {
    fn pick(&self, call: &Call<'_>) -> usize {
        // Among those equally busy the first seen wins, so that one is drawn by weight.
        let first = self.shares.draw(halves(call.random()).0);
        let count = self.candidates.len();
        let less_busy = |least: usize, next: usize| {
            let better = self.candidates[next].less_busy_than(&self.candidates[least]);
            if better { next } else { least }
        };
        if count <= self.looks {
            (1..count).map(|step| (first + step) % count).fold(first, less_busy)
        } else {
            (1..self.looks)
                .map(|_| self.shares.draw(halves(call.random()).0))
                .fold(first, less_busy)
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
        fn of_few_the_least_busy_is_taken(seed: u64, mut loads in prop::collection::vec(1_usize..100, 1..9), least: prop::sample::Index) {
            let least = least.index(loads.len());
            loads[least] = 0;
            prop_assert_eq!(shares(&LeastRequest::default(), &serving(&loads), seed, 20)[least], 20);
        }

        #[test]
        fn of_few_none_is_ever_more_than_one_call_ahead(seed: u64, endpoints in 1_usize..9, calls in 1_usize..200) {
            let loads = piled(&LeastRequest::default(), &weighing(&vec![1; endpoints]), seed, calls);
            prop_assert!(loads.iter().max().unwrap() - loads.iter().min().unwrap() <= 1);
        }
    }

    #[test]
    fn of_many_the_busiest_is_taken_about_never() {
        let mut loads = vec![0; 100];
        loads[42] = 1;
        assert_eq!(shares(&LeastRequest::default(), &serving(&loads), 5, 10_000)[42], 0);
    }

    #[test]
    fn shares_follow_the_weights_busy_or_idle() {
        let weights = [1, 2, 3, 10];
        assert_shares(
            &piled(&LeastRequest::default(), &weighing(&weights), 7, 16_000),
            &weights,
            1.0,
        );
        assert_shares(
            &shares(&LeastRequest::default(), &weighing(&weights), 7, 16_000),
            &weights,
            10.0,
        );
        let many: Vec<u32> = (0..200).map(|index| index % 4 + 1).collect();
        assert_shares(
            &piled(&LeastRequest::default(), &weighing(&many), 7, 100_000),
            &many,
            5.0,
        );
    }
}
