//! The less busy of two endpoints drawn at random.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{Candidates, Policy};

/// Power of two choices on calls in flight: draws two different endpoints and takes the one that serves fewer calls.
///
/// A slow endpoint collects calls in flight and is passed over; the worst queue stays within `log log n` of the mean
/// (Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", 2001).
#[derive(Debug)]
pub struct TwoChoices {
    state: AtomicU64,
}

impl TwoChoices {
    /// A policy whose draws follow from `seed` alone.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self {
            state: AtomicU64::new(seed),
        }
    }

    /// SplitMix64 (Steele, Lea, Flood 2014): one atomic addition, no lock, every thread on the same sequence.
    fn draw(&self) -> u64 {
        const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut z = self.state.fetch_add(GOLDEN, Ordering::Relaxed).wrapping_add(GOLDEN);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

impl Policy for TwoChoices {
    fn pick(&self, candidates: &dyn Candidates) -> usize {
        let len = candidates.len();
        if len < 2 {
            return 0;
        }
        let draw = self.draw();
        let one = below(draw & 0xffff_ffff, len);
        // The second among the others, so that two are always compared.
        let other = (one + 1 + below(draw >> 32, len - 1)) % len;
        if candidates.in_flight(other) < candidates.in_flight(one) {
            other
        } else {
            one
        }
    }
}

/// Maps 32 random bits to `0..len` (Lemire's multiplication; the bias is below `len / 2^32`).
fn below(bits: u64, len: usize) -> usize {
    usize::try_from((bits * len as u64) >> 32).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::fixture::Loads;
    use super::*;

    proptest! {
        #[test]
        fn never_takes_the_busiest_when_others_are_idle(seed: u64, endpoints in 2_usize..16, busy in 0_usize..16) {
            let busy = busy % endpoints;
            let mut loads = Loads(vec![0; endpoints]);
            loads.0[busy] = 10;
            let policy = TwoChoices::seeded(seed);
            for _ in 0..200 {
                prop_assert_ne!(policy.pick(&loads), busy);
            }
        }

        #[test]
        fn equal_endpoints_get_equal_shares(seed: u64, endpoints in 1_usize..10) {
            let policy = TwoChoices::seeded(seed);
            let mut loads = Loads(vec![0; endpoints]);
            // Every call stays in flight, so the policy sees what it did.
            for _ in 0..endpoints * 1000 {
                let index = policy.pick(&loads);
                loads.0[index] += 1;
            }
            for share in &loads.0 {
                prop_assert!(share.abs_diff(1000) <= 10, "{:?}", loads.0);
            }
        }

        #[test]
        fn the_same_seed_gives_the_same_picks(seed: u64) {
            let (one, two) = (TwoChoices::seeded(seed), TwoChoices::seeded(seed));
            let loads = Loads(vec![0; 7]);
            for _ in 0..50 {
                prop_assert_eq!(one.pick(&loads), two.pick(&loads));
            }
        }
    }
}
