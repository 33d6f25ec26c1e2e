//! Each endpoint in its turn.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::{Candidates, Policy};

/// Each endpoint in its turn, blind to load: the fairest split when calls cost alike.
#[derive(Debug, Default)]
pub struct RoundRobin {
    next: AtomicUsize,
}

impl RoundRobin {
    /// A rotation whose first pick is endpoint `first`. Give clients different starts, or all of them open with the
    /// same endpoint.
    #[must_use]
    pub fn starting_at(first: usize) -> Self {
        Self {
            next: AtomicUsize::new(first),
        }
    }
}

impl Policy for RoundRobin {
    fn pick(&self, candidates: &dyn Candidates) -> usize {
        self.next.fetch_add(1, Ordering::Relaxed) % candidates.len().max(1)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::fixture::Loads;
    use super::*;

    proptest! {
        #[test]
        fn shares_differ_by_at_most_one(endpoints in 1_usize..20, rounds in 1_usize..200, first in 0_usize..1000) {
            let policy = RoundRobin::starting_at(first);
            let loads = Loads(vec![0; endpoints]);
            let mut shares = vec![0_usize; endpoints];
            for _ in 0..rounds {
                shares[policy.pick(&loads)] += 1;
            }
            let (least, most) = (shares.iter().min().unwrap(), shares.iter().max().unwrap());
            prop_assert!(most - least <= 1);
        }
    }

    #[test]
    fn goes_on_across_the_wrap_of_its_counter() {
        let policy = RoundRobin::starting_at(usize::MAX);
        let loads = Loads(vec![0; 4]);
        for _ in 0..8 {
            assert!(policy.pick(&loads) < 4);
        }
    }
}
