//! Candidates, calls, clock and dice for tests of policies.

use std::cell::{Cell, RefCell};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;
use tokio::time::Instant;

use super::{Average, Call, Candidate, Environment, Load, Picker, Policy};
use crate::client::resolve::Endpoint;
use crate::clock;

/// A clock that stands, and dice that follow from a seed.
pub(crate) struct Scripted {
    pub(crate) now: Cell<Instant>,
    dice: RefCell<fastrand::Rng>,
}

impl Scripted {
    pub(crate) fn seeded(seed: u64) -> Self {
        Self {
            now: Cell::new(clock::now()),
            dice: RefCell::new(fastrand::Rng::with_seed(seed)),
        }
    }

    pub(crate) fn pass(&self, time: Duration) {
        self.now.set(self.now.get() + time);
    }
}

impl Environment for Scripted {
    fn now(&self) -> Instant {
        self.now.get()
    }

    fn random(&self) -> u64 {
        self.dice.borrow_mut().u64(..)
    }
}

/// The head of a request without headers.
pub(crate) fn head() -> Parts {
    http::Request::new(()).into_parts().0
}

/// The endpoint number `index`.
pub(crate) fn endpoint(index: usize) -> Endpoint {
    let index = u32::try_from(index).unwrap();
    Endpoint::new(SocketAddr::from((Ipv4Addr::from(0x0a00_0000 + index), 8080)))
}

/// Endpoints of these weights.
pub(crate) fn weighing(weights: &[u32]) -> Arc<[Candidate]> {
    let candidate =
        |(index, weight): (usize, &u32)| Candidate::new(&endpoint(index).with_weight(*weight), clock::now());
    weights.iter().enumerate().map(candidate).collect()
}

/// Endpoints alike, with so many calls in flight.
pub(crate) fn serving(loads: &[usize]) -> Arc<[Candidate]> {
    let candidate = |(index, load): (usize, &usize)| Candidate::new(&endpoint(index), clock::now()).serving(*load);
    loads.iter().enumerate().map(candidate).collect()
}

/// Endpoints whose latency is measured since `born`.
pub(crate) fn measured(count: usize, decay: Duration, born: Instant) -> Arc<[Candidate]> {
    let candidate = |index| {
        let load = Load::closed(Some(Average::new(decay, born)));
        load.set_limit(usize::MAX);
        Candidate::of(&endpoint(index), born, load.into())
    };
    (0..count).map(candidate).collect()
}

/// How often each of `candidates` is picked in `calls` calls that end at once.
pub(crate) fn shares(policy: &impl Policy, candidates: &Arc<[Candidate]>, seed: u64, calls: usize) -> Vec<usize> {
    let outside = Scripted::seeded(seed);
    tally(
        &*policy.prepare(candidates.clone(), outside.now()),
        candidates.len(),
        &outside,
        calls,
    )
}

/// The same of a policy already prepared.
pub(crate) fn tally(picker: &dyn Picker, candidates: usize, outside: &Scripted, calls: usize) -> Vec<usize> {
    let head = head();
    let mut shares = vec![0; candidates];
    for _ in 0..calls {
        shares[picker.pick(&Call::new(&head, outside))] += 1;
    }
    shares
}

/// How many calls each of `candidates` has after `calls` calls that never end.
pub(crate) fn piled(policy: &impl Policy, candidates: &Arc<[Candidate]>, seed: u64, calls: usize) -> Vec<usize> {
    piled_at(policy, candidates, &Scripted::seeded(seed), calls)
}

/// The same at a time of the test's choice.
pub(crate) fn piled_at(
    policy: &impl Policy,
    candidates: &Arc<[Candidate]>,
    outside: &Scripted,
    calls: usize,
) -> Vec<usize> {
    let head = head();
    let picker = policy.prepare(candidates.clone(), outside.now());
    for _ in 0..calls {
        candidates[picker.pick(&Call::new(&head, outside))].begin();
    }
    candidates.iter().map(Candidate::in_flight).collect()
}

/// Asserts that each share is within `percent` of what its weight makes due.
#[track_caller]
#[expect(clippy::cast_precision_loss, reason = "counts of a test")]
pub(crate) fn assert_shares(shares: &[usize], weights: &[u32], percent: f64) {
    let (calls, total): (usize, u32) = (shares.iter().sum(), weights.iter().sum());
    for (share, weight) in shares.iter().zip(weights) {
        let due = calls as f64 * f64::from(*weight) / f64::from(total);
        let off = (*share as f64 - due).abs() / due * 100.0;
        assert!(
            off <= percent,
            "{share} of {calls} is {off:.1} % off its due {due:.0}: {shares:?}"
        );
    }
}
