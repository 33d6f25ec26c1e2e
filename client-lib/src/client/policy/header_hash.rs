//! The same endpoint for the same key.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use http::HeaderName;
use tokio::time::Instant;

use super::ring::{Ring, place_of};
use super::shares::{Shares, halves};
use super::{Call, Candidate, Picker, Policy};

/// Consistent hashing of a request header: calls with the same value go to the same endpoint, from every client.
///
/// Take it for caches and for sessions kept in memory. When an endpoint leaves, only its keys move, each to the next on the
/// ring; where it goes a call that failed there goes too. When it comes back, they return. Calls without the header go to
/// any endpoint.
///
/// A ring hash (Karger et al. 1997) of 160 points as in Ketama and Envoy's `RING_HASH`; keys and addresses are hashed with
/// XXH64. A pick hashes the value and looks it up among the points: `O(1)`. A change of the set costs a pass over all points.
///
/// ```
/// use http::HeaderName;
/// use obit::policy::HeaderHash;
///
/// let by_user = HeaderHash::of(HeaderName::from_static("user-id")).bounded(1.25);
/// ```
#[derive(Debug)]
pub struct HeaderHash {
    header: HeaderName,
    bound: Option<f64>,
    /// The ring of the last rotation, from which the next is made.
    last: Mutex<Arc<Ring>>,
}

impl HeaderHash {
    /// By the first value of `header`.
    #[must_use]
    pub fn of(header: HeaderName) -> Self {
        Self {
            header,
            bound: None,
            last: Mutex::default(),
        }
    }

    /// No endpoint gets a call while it has more than `factor`, at least 1, times the mean of the calls in flight, in
    /// relation to its weight: then the next on the ring takes it ("Consistent Hashing with Bounded Loads", Mirrokni et al.
    /// 2016; Envoy's `hash_balance_factor`). 1.25 is usual; a smaller one balances better and moves more keys. Default: no
    /// bound.
    ///
    /// The mean is taken anew after as many picks as there are endpoints, so it may lack one call of each, which the bound
    /// grants.
    #[must_use]
    pub fn bounded(self, factor: f64) -> Self {
        Self {
            bound: Some(factor.max(1.0)),
            ..self
        }
    }
}

impl Policy for HeaderHash {
    fn prepare(&self, candidates: Arc<[Candidate]>, _: Instant) -> Box<dyn Picker> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let ring = Arc::new(last.renewed(&candidates));
        *last = ring.clone();
        Box::new(Keyed {
            header: self.header.clone(),
            bound: self.bound.map(|factor| Bound::new(factor, &candidates)),
            shares: Shares::of(&candidates),
            ring,
            candidates,
        })
    }
}

#[derive(Debug)]
struct Keyed {
    header: HeaderName,
    bound: Option<Bound>,
    candidates: Arc<[Candidate]>,
    shares: Shares,
    ring: Arc<Ring>,
}

impl Picker for Keyed {
    fn pick(&self, call: &Call<'_>) -> usize {
        let Some(key) = call.head().headers.get(&self.header) else {
            return self.shares.draw(halves(call.random()).0);
        };
        let place = place_of(key.as_bytes());
        let suits = |index: &usize| call.suits(&self.candidates[*index]);
        let within = self.bound.as_ref().and_then(|bound| {
            let most = bound.most(&self.candidates);
            let fits = |index: &usize| suits(index) && bound.grants(&self.candidates[*index], most);
            self.ring.from(place).find(fits)
        });
        within
            .or_else(|| self.ring.from(place).find(suits))
            .or_else(|| self.ring.from(place).next())
            .unwrap_or(0)
    }
}

/// How much more than the mean an endpoint may carry.
#[derive(Debug)]
struct Bound {
    factor: f64,
    total_weight: f64,
    picks: AtomicUsize,
    in_flight: AtomicUsize,
}

#[expect(clippy::cast_precision_loss, reason = "an estimate of a load")]
impl Bound {
    fn new(factor: f64, candidates: &[Candidate]) -> Self {
        Self {
            factor,
            total_weight: candidates.iter().map(|candidate| f64::from(candidate.weight())).sum(),
            picks: AtomicUsize::new(0),
            in_flight: AtomicUsize::new(0),
        }
    }

    /// How many calls a unit of weight may carry.
    fn most(&self, candidates: &[Candidate]) -> f64 {
        let count = candidates.len();
        if self.picks.fetch_add(1, Ordering::Relaxed).is_multiple_of(count) {
            let in_flight = candidates.iter().map(Candidate::in_flight).sum();
            self.in_flight.store(in_flight, Ordering::Relaxed);
        }
        let in_flight = self.in_flight.load(Ordering::Relaxed) + count;
        self.factor * in_flight as f64 / self.total_weight
    }

    fn grants(&self, candidate: &Candidate, most: f64) -> bool {
        (candidate.in_flight() as f64) < (most * f64::from(candidate.weight())).ceil()
    }
}

#[cfg(test)]
mod tests {
    use http::request::Parts;
    use proptest::prelude::*;

    use super::super::Environment as _;
    use super::super::fixture::{Scripted, assert_shares, endpoint, head, serving, shares, weighing};
    use super::*;

    const USER: HeaderName = HeaderName::from_static("user-id");

    fn keyed(key: u32) -> Parts {
        let mut head = head();
        head.headers.insert(USER, key.into());
        head
    }

    fn pick(picker: &dyn Picker, key: u32) -> usize {
        picker.pick(&Call::new(&keyed(key), &Scripted::seeded(0)))
    }

    proptest! {
        #[test]
        fn the_same_key_has_the_same_endpoint_whatever_was_before(
            endpoints in 1_usize..20, before in 1_usize..20, key: u32,
        ) {
            let (one, other) = (HeaderHash::of(USER), HeaderHash::of(USER));
            other.prepare(weighing(&vec![1; before]), Scripted::seeded(0).now());
            let candidates = weighing(&vec![1; endpoints]);
            let prepared = |policy: &HeaderHash| policy.prepare(candidates.clone(), Scripted::seeded(0).now());
            prop_assert_eq!(pick(&*prepared(&one), key), pick(&*prepared(&other), key));
        }

        #[test]
        fn a_call_that_failed_goes_where_its_key_would_go_next(endpoints in 2_usize..20, key: u32) {
            let candidates = weighing(&vec![1; endpoints]);
            let outside = Scripted::seeded(0);
            let policy = HeaderHash::of(USER);
            let picker = policy.prepare(candidates.clone(), outside.now());
            let owner = candidates[pick(&*picker, key)].address();
            let head = keyed(key);
            let tried = [owner];
            let heir = candidates[picker.pick(&Call::new(&head, &outside).after(&tried))].address();
            let rest: Arc<[_]> = candidates.iter().filter(|one| one.address() != owner).cloned().collect();
            let without = policy.prepare(rest.clone(), outside.now());
            prop_assert_eq!(heir, rest[pick(&*without, key)].address());
        }

        #[test]
        fn nobody_carries_more_than_the_bound_allows(keys in prop::collection::vec(0_u32..4, 50..400)) {
            let candidates = serving(&[0; 10]);
            let picker = HeaderHash::of(USER).bounded(1.25).prepare(candidates.clone(), Scripted::seeded(0).now());
            for (calls, key) in keys.into_iter().enumerate() {
                candidates[pick(&*picker, key)].begin();
                let most = candidates.iter().map(Candidate::in_flight).max().unwrap();
                #[expect(clippy::cast_precision_loss, reason = "small numbers")]
                let bound = (1.25 * ((calls + 1) as f64 / 10.0 + 1.0)).ceil();
                prop_assert!(most as f64 <= bound, "{most} of {calls}");
            }
        }
    }

    #[test]
    fn calls_without_the_header_go_anywhere_by_weight() {
        assert_shares(
            &shares(&HeaderHash::of(USER), &weighing(&[1, 2, 3]), 1, 60_000),
            &[1, 2, 3],
            5.0,
        );
    }

    #[test]
    fn the_ring_outlives_endpoints_that_are_full() {
        let full = Candidate::new(&endpoint(0), Scripted::seeded(0).now()).serving(usize::MAX);
        let picker = HeaderHash::of(USER).prepare([full].into(), Scripted::seeded(0).now());
        assert_eq!(pick(&*picker, 1), 0);
    }
}
