//! What a pick costs: nanoseconds for each policy, at 5 and at 1 000 endpoints, and what it costs to prepare one.
//!
//! `cargo bench -p obit --bench picks`; `ROUNDS` (9) and `PICKS` (200 000) in the environment change its size. Rounds alternate,
//! so that a disturbance hits everyone; the medians are printed. Weights differ and every endpoint has calls in flight: the dear
//! case of each policy.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on stops")]

mod common;

use std::hint::black_box;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{median, setting};
use http::request::Parts;
use http::{HeaderName, Request};
use obit::policy::{
    Call, Candidate, Environment, HeaderHash, LeastRequest, PeakEwma, Picker, Policy, Random, RoundRobin, SlowStart,
    TwoChoices, ZoneAware,
};
use obit::resolve::Endpoint;

const SIZES: [usize; 2] = [5, 1000];
const KEY: HeaderName = HeaderName::from_static("user-id");

/// The clock and dice of the client.
struct Outside;

impl Environment for Outside {
    fn now(&self) -> tokio::time::Instant {
        now()
    }

    fn random(&self) -> u64 {
        fastrand::u64(..)
    }
}

fn main() {
    let (rounds, picks) = (setting("ROUNDS", 9), setting("PICKS", 200_000));
    let policies: [(&str, Box<dyn Policy>); 9] = [
        ("round robin", Box::new(RoundRobin::default())),
        ("random", Box::new(Random)),
        ("two choices", Box::new(TwoChoices)),
        ("least request", Box::new(LeastRequest::default())),
        ("peak ewma", Box::new(PeakEwma::default())),
        ("header hash", Box::new(HeaderHash::of(KEY))),
        ("  bounded", Box::new(HeaderHash::of(KEY).bounded(1.25))),
        ("zone aware", Box::new(ZoneAware::in_zone("a", TwoChoices))),
        (
            "slow start",
            Box::new(SlowStart::over(Duration::from_secs(3600), TwoChoices)),
        ),
    ];
    let heads = heads();
    let mut results = policies.each_ref().map(|_| [const { Vec::new() }; SIZES.len()]);
    for round in 0..rounds {
        for step in 0..policies.len() {
            let contender = (round + step) % policies.len();
            for (size, results) in SIZES.iter().zip(&mut results[contender]) {
                results.push(run(&*policies[contender].1, *size, &heads, picks));
            }
        }
    }
    println!(
        "{:<14} {:>10} {:>10} {:>16}",
        "ns per pick", "at 5", "at 1000", "us to prepare"
    );
    for ((name, _), [few, many]) in policies.iter().zip(&results) {
        println!(
            "{name:<14} {:>10.0} {:>10.0} {:>16.0}",
            median(few.iter().map(|round| round.pick_ns)),
            median(many.iter().map(|round| round.pick_ns)),
            median(many.iter().map(|round| round.prepare_us)),
        );
    }
}

struct Round {
    pick_ns: f64,
    prepare_us: f64,
}

#[expect(clippy::cast_precision_loss, reason = "a count of picks")]
fn run(policy: &dyn Policy, endpoints: usize, heads: &[Parts], picks: usize) -> Round {
    let candidates = candidates(endpoints);
    // As in a client: one endpoint comes, the others were there.
    policy.prepare(candidates[1..].into(), now());
    let begun = now();
    let picker: Box<dyn Picker> = policy.prepare(candidates, begun);
    let prepared = begun.elapsed();
    let begun = now();
    for turn in 0..picks {
        black_box(picker.pick(&Call::new(&heads[turn % heads.len()], &Outside)));
    }
    Round {
        pick_ns: begun.elapsed().as_secs_f64() * 1e9 / picks as f64,
        prepare_us: prepared.as_secs_f64() * 1e6,
    }
}

fn candidates(count: usize) -> Arc<[Candidate]> {
    let candidate = |index: u32| {
        let address = SocketAddr::from((Ipv4Addr::from(0x0a00_0000 + index), 50051));
        let zone = ["a", "b", "c"][index as usize % 3];
        let endpoint = Endpoint::new(address).with_weight(index % 3 + 1).with_zone(zone);
        let since = now() - Duration::from_secs(60 * u64::from(index % 20));
        let latency = Duration::from_micros(fastrand::u64(500..5000));
        Candidate::new(&endpoint, since)
            .serving(fastrand::usize(..20))
            .answering(latency, since)
    };
    (0..u32::try_from(count).unwrap()).map(candidate).collect()
}

/// Of many users, so that each call is another's.
fn heads() -> Vec<Parts> {
    let head = |user: u32| {
        let request = Request::get("/").header(KEY, format!("user-{user}")).body(()).unwrap();
        request.into_parts().0
    };
    (0..4096).map(head).collect()
}

#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
fn now() -> tokio::time::Instant {
    Instant::now().into()
}
