//! No policy allocates when it picks. A binary of its own: it counts with an allocator of its own.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, Request};
use obit::policy::{
    Call, Candidate, Environment, HeaderHash, LeastRequest, PeakEwma, Policy, Random, RoundRobin, SlowStart,
    TwoChoices, ZoneAware,
};
use obit::resolve::Endpoint;
use tokio::time::Instant;

const KEY: HeaderName = HeaderName::from_static("user-id");

struct Outside(Instant);

impl Environment for Outside {
    fn now(&self) -> Instant {
        self.0
    }

    fn random(&self) -> u64 {
        fastrand::u64(..)
    }
}

/// Weights, zones, ages and loads of every kind.
fn candidates(now: Instant) -> Arc<[Candidate]> {
    let candidate = |index: u32| {
        let address = SocketAddr::from((Ipv4Addr::from(0x0a00_0000 + index), 50051));
        let zone = ["a", "b", "c"][index as usize % 3];
        let endpoint = Endpoint::new(address).with_weight(index % 4 + 1).with_zone(zone);
        let candidate = Candidate::new(&endpoint, now - Duration::from_secs(index.into()));
        candidate
            .serving(index as usize % 7 * 5)
            .answering(Duration::from_millis(index.into()), now)
    };
    (0..100).map(candidate).collect()
}

#[tokio::test]
async fn no_pick_allocates() {
    let policies: [Box<dyn Policy>; 9] = [
        Box::new(RoundRobin::default()),
        Box::new(Random),
        Box::new(TwoChoices),
        Box::new(LeastRequest::default()),
        Box::new(PeakEwma::default()),
        Box::new(HeaderHash::of(KEY)),
        Box::new(HeaderHash::of(KEY).bounded(1.25)),
        Box::new(ZoneAware::in_zone("a", TwoChoices)),
        Box::new(SlowStart::over(Duration::from_secs(1000), LeastRequest::default())),
    ];
    #[expect(clippy::disallowed_methods, reason = "a shell around policies")]
    let outside = Outside(Instant::now());
    let candidates = candidates(outside.0);
    let tried = [candidates[3].address()];
    let heads: Vec<_> = (0..50_u32)
        .map(|user| Request::get("/").header(KEY, user).body(()).unwrap().into_parts().0)
        .chain([Request::new(()).into_parts().0])
        .collect();
    for policy in policies {
        let picker = policy.prepare(candidates.clone(), outside.0);
        let picks = || {
            for head in &heads {
                let call = Call::new(head, &outside);
                assert!(picker.pick(&call) < candidates.len());
                assert!(picker.pick(&call.after(&tried)) < candidates.len());
            }
        };
        // The generator of a thread is made with its first number.
        picks();
        assert_eq!(allocation_counter::measure(picks).count_total, 0, "{policy:?}");
    }
}
