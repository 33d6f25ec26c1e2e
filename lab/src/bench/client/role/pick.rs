//! What a pick costs under each policy, and what it costs to prepare one. Weights differ and every endpoint has calls in flight:
//! the dear case of each policy.

use std::hint::black_box;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;
use http::{HeaderName, Request};
use obit::policy::{
    Call, Candidate, Environment, HeaderHash, LeastRequest, PeakEwma, Picker, Policy, Random, RoundRobin, SlowStart,
    TwoChoices, ZoneAware,
};
use obit::resolve::Endpoint;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::bench::stopwatch::Stopwatch;
use crate::bench::talk::whenever_told;

/// The header that one policy looks at.
const KEY: HeaderName = HeaderName::from_static("user-id");

/// What whoever picks is told.
#[derive(Debug, Clone, clap::Args)]
pub(in crate::bench) struct PickArgs {
    /// How many picks of each policy are timed.
    #[arg(long)]
    picks: u32,
    /// Among how many endpoints.
    #[arg(long)]
    endpoints: u32,
}

/// What one policy took, by name.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::bench::client) struct Picked {
    /// The policy.
    pub(in crate::bench::client) policy: String,
    /// A pick, nanoseconds of processor time: others are not in it.
    pub(in crate::bench::client) pick_ns: f64,
    /// To prepare it for a rotation in which one endpoint is new, nanoseconds.
    pub(in crate::bench::client) prepare_ns: u64,
}

/// Every policy.
pub(in crate::bench::client) fn policies() -> [(&'static str, Box<dyn Policy>); 9] {
    [
        ("round_robin", Box::new(RoundRobin::default())),
        ("random", Box::new(Random)),
        ("two_choices", Box::new(TwoChoices)),
        ("least_request", Box::new(LeastRequest::default())),
        ("peak_ewma", Box::new(PeakEwma::default())),
        ("header_hash", Box::new(HeaderHash::of(KEY))),
        ("header_hash_bounded", Box::new(HeaderHash::of(KEY).bounded(1.25))),
        ("zone_aware", Box::new(ZoneAware::in_zone("a", TwoChoices))),
        (
            "slow_start",
            Box::new(SlowStart::over(Duration::from_secs(3_600), TwoChoices)),
        ),
    ]
}

/// The clock and dice of the client.
pub(in crate::bench::client) struct Outside;

impl Environment for Outside {
    fn now(&self) -> Instant {
        now()
    }

    fn random(&self) -> u64 {
        fastrand::u64(..)
    }
}

/// Each time it is told to go: what each policy took.
pub(super) fn run(args: &PickArgs) -> anyhow::Result<()> {
    let heads = heads()?;
    whenever_told(|| {
        let picked = policies().map(|(name, policy)| measure(name, &*policy, args, &heads));
        Ok(picked.to_vec())
    })
}

fn measure(name: &str, policy: &dyn Policy, args: &PickArgs, heads: &[Parts]) -> Picked {
    let candidates = candidates(args.endpoints);
    // As in a client: one endpoint comes, the others were there.
    policy.prepare(candidates[1..].into(), now());
    let watch = Stopwatch::start();
    let picker: Box<dyn Picker> = policy.prepare(candidates, now());
    let prepare_ns = watch.elapsed_ns();
    let watch = Stopwatch::start();
    for (_, head) in (0..args.picks).zip(heads.iter().cycle()) {
        black_box(picker.pick(&Call::new(head, &Outside)));
    }
    let done = watch.done(args.picks.into());
    Picked {
        policy: name.to_owned(),
        pick_ns: 1e9 / done.per_cpu_second(),
        prepare_ns,
    }
}

/// So many endpoints, of every weight, zone, age and load.
pub(in crate::bench::client) fn candidates(count: u32) -> Arc<[Candidate]> {
    let candidate = |number: u32| {
        let address = SocketAddr::from((Ipv4Addr::from(0x0a00_0000 + number), 50051));
        let zone = ["a", "b", "c"][number as usize % 3];
        let endpoint = Endpoint::new(address).with_weight(number % 3 + 1).with_zone(zone);
        let since = now() - Duration::from_secs(60 * u64::from(number % 20));
        let latency = Duration::from_micros(fastrand::u64(500..5_000));
        Candidate::new(&endpoint, since)
            .serving(fastrand::usize(..20))
            .answering(latency, since)
    };
    (0..count).map(candidate).collect()
}

/// Of many users, so that each call is another's.
pub(in crate::bench::client) fn heads() -> http::Result<Vec<Parts>> {
    let head = |user: u32| {
        let request = Request::get("/").header(KEY, format!("user-{user}")).body(())?;
        Ok(request.into_parts().0)
    };
    (0..4_096).map(head).collect()
}

#[expect(clippy::disallowed_methods, reason = "a shell around policies")]
pub(in crate::bench::client) fn now() -> Instant {
    Instant::now()
}
