//! Endpoints of one's own zone, as far as they suffice.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::scaled::scaled;
use super::shares::halves;
use super::{Call, Candidate, Picker, Policy};

/// Another policy over the endpoints of one's own zone; over those of others only for what the own zone is too weak for.
///
/// Take it where traffic between zones costs money or milliseconds. The clients are taken to be spread evenly over the zones
/// that have endpoints. So a zone with an even share of the weight in rotation, or more, keeps all its calls; one with
/// half of an even share keeps half of them, and the rest goes to the zones that have more than theirs, in proportion to
/// what they have more, and to endpoints of no known zone. In sum every endpoint gets what its weight makes due, whatever
/// the zones look like, and as endpoints of a zone go out of rotation, so do its calls. This is Envoy's zone-aware routing, without
/// the count of clients in each zone, which a client does not know.
///
/// Put [`SlowStart`](super::SlowStart) around this policy, not into it: a zone of newcomers is a weak one.
///
/// Where every endpoint says whom it is meant for ([`Endpoint::with_zone_hints`](crate::resolve::Endpoint::with_zone_hints)) and some are
/// meant for this zone, Kubernetes has divided them already: those take all calls, wherever they run, as with kube-proxy.
///
/// A zone whose endpoints do not [suit](Call::suits) a call gives it away as well. A pick costs a draw more than the policy inside.
///
/// ```
/// use obit::policy::{TwoChoices, ZoneAware};
///
/// let policy = ZoneAware::in_zone("eu-1a", TwoChoices);
/// ```
#[derive(Debug, Clone)]
pub struct ZoneAware<P> {
    zone: Arc<str>,
    policy: P,
}

impl<P: Policy> ZoneAware<P> {
    /// `policy` for a client that runs in `zone`.
    #[must_use]
    pub fn in_zone(zone: impl Into<Arc<str>>, policy: P) -> Self {
        Self {
            zone: zone.into(),
            policy,
        }
    }

    fn group(
        &self,
        of: &[Candidate],
        now: Instant,
        takes: impl Fn(&Candidate) -> bool,
        factor: impl Fn(&Candidate) -> f64,
    ) -> Group {
        let (indices, taken): (Vec<usize>, Vec<Candidate>) = of
            .iter()
            .cloned()
            .enumerate()
            .filter(|(_, candidate)| takes(candidate))
            .unzip();
        let candidates = scaled(&taken, factor);
        Group {
            indices: indices.into(),
            picker: self.policy.prepare(candidates.clone(), now),
            candidates,
        }
    }
}

impl<P: Policy> Policy for ZoneAware<P> {
    fn prepare(&self, candidates: Arc<[Candidate]>, now: Instant) -> Box<dyn Picker> {
        let mut plan = Plan::of(&candidates, &self.zone);
        let meant = |candidate: &Candidate| candidate.zone_hints().contains(&self.zone);
        let divided = candidates.iter().all(|candidate| !candidate.zone_hints().is_empty());
        let divided = divided && candidates.iter().any(meant);
        if divided {
            plan = Plan::divided();
        }
        let at_home = |candidate: &Candidate| match divided {
            true => meant(candidate),
            false => candidate.zone() == Some(&self.zone),
        };
        // Nobody here, or nobody elsewhere.
        if candidates.iter().all(at_home) || !candidates.iter().any(at_home) {
            return self.policy.prepare(candidates, now);
        }
        Box::new(Zones {
            kept: plan.kept,
            home: self.group(&candidates, now, at_home, |_| 1.0),
            away: self.group(
                &candidates,
                now,
                |candidate| !at_home(candidate) && plan.factor(candidate) > 0.0,
                |candidate| plan.factor(candidate),
            ),
        })
    }

    fn measures(&self) -> Option<Duration> {
        self.policy.measures()
    }
}

/// How much of its calls a zone keeps, and how much others take of the rest.
#[derive(Debug)]
struct Plan<'a> {
    /// Of all calls, in 2^32nds; more than that is all.
    kept: u64,
    /// What part of its weight an endpoint of each zone has to spare for others.
    spare: BTreeMap<Option<&'a str>, f64>,
}

impl<'a> Plan<'a> {
    #[expect(clippy::cast_precision_loss, reason = "proportions")]
    fn of(candidates: &'a [Candidate], own: &'a str) -> Self {
        let mut weights: BTreeMap<Option<&str>, u64> = BTreeMap::new();
        for candidate in candidates {
            *weights.entry(candidate.zone()).or_default() += u64::from(candidate.weight());
        }
        let total: u64 = weights.values().sum();
        let zones: BTreeSet<&str> = weights.keys().flatten().copied().chain([own]).collect();
        let count = zones.len() as u64;
        let home = weights.get(&Some(own)).copied().unwrap_or(0).saturating_mul(count);
        let sufficient = home >= total;
        let spare = weights.iter().map(|(zone, weight)| {
            let even = total as f64 / count as f64;
            let spare = match zone {
                Some(_) if !sufficient => (1.0 - even / *weight as f64).max(0.0),
                _ => 1.0,
            };
            (*zone, spare)
        });
        Self {
            kept: if sufficient {
                u64::MAX
            } else {
                (home << 32) / total.max(1)
            },
            spare: spare.collect(),
        }
    }

    /// Everything stays with those it is meant for; others help where these do not suit.
    fn divided() -> Self {
        Self {
            kept: u64::MAX,
            spare: BTreeMap::new(),
        }
    }

    fn factor(&self, candidate: &Candidate) -> f64 {
        self.spare.get(&candidate.zone()).copied().unwrap_or(1.0)
    }
}

#[derive(Debug)]
struct Zones {
    kept: u64,
    home: Group,
    away: Group,
}

/// Some of the candidates, and the policy inside at work on them.
#[derive(Debug)]
struct Group {
    /// What they are called outside.
    indices: Box<[usize]>,
    candidates: Arc<[Candidate]>,
    picker: Box<dyn Picker>,
}

impl Group {
    /// The index inside.
    fn pick(&self, call: &Call<'_>) -> usize {
        self.picker.pick(call) % self.indices.len()
    }
}

impl Picker for Zones {
    fn pick(&self, call: &Call<'_>) -> usize {
        if u64::from(halves(call.random()).0) < self.kept {
            let inside = self.home.pick(call);
            if call.suits(&self.home.candidates[inside]) {
                return self.home.indices[inside];
            }
        }
        self.away.indices[self.away.pick(call)]
    }

    fn stale_at(&self) -> Option<Instant> {
        let groups = [&self.home, &self.away];
        groups.iter().filter_map(|group| group.picker.stale_at()).min()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::fixture::{Scripted, assert_shares, endpoint, head, shares};
    use super::super::{Random, RoundRobin};
    use super::*;
    use crate::client::resolve::Endpoint;

    const ZONES: [&str; 4] = ["a", "b", "c", "d"];

    /// So many endpoints in each zone, in this order.
    fn zoned(counts: &[usize]) -> Arc<[Candidate]> {
        let zones = ZONES.iter().zip(counts).flat_map(|(zone, count)| vec![*zone; *count]);
        let candidate = |(index, zone)| Candidate::new(&endpoint(index).with_zone(zone), Scripted::seeded(0).now.get());
        zones.enumerate().map(candidate).collect()
    }

    fn shares_from(zone: &str, candidates: &Arc<[Candidate]>, calls: usize) -> Vec<usize> {
        shares(&ZoneAware::in_zone(zone, Random), candidates, 9, calls)
    }

    #[test]
    fn a_zone_with_its_share_of_endpoints_keeps_its_calls() {
        let shares = shares_from("a", &zoned(&[3, 3, 3]), 1000);
        assert_eq!(shares[3..].iter().sum::<usize>(), 0);
        assert_shares(&shares[..3], &[1; 3], 20.0);
    }

    #[test]
    fn a_weak_zone_keeps_what_it_can_bear_and_gives_the_rest_to_the_strong() {
        // Of nine, three would be even: one endpoint bears a third of its zone's calls.
        let shares = shares_from("a", &zoned(&[1, 3, 5]), 30_000);
        assert_shares(&[shares[0], shares[4..].iter().sum()], &[1, 2], 5.0);
        assert_eq!(shares[1..4].iter().sum::<usize>(), 0);
    }

    #[test]
    fn without_endpoints_here_everyone_serves() {
        assert_shares(&shares_from("d", &zoned(&[1, 3, 5]), 30_000), &[1; 9], 10.0);
    }

    /// One endpoint in each of these zones, meant for the clients of others.
    fn hinted(hints: &[&[&str]]) -> Arc<[Candidate]> {
        let candidate = |(index, hints): (usize, &&[&str])| {
            let hints = hints.iter().map(|zone| Arc::from(*zone));
            let endpoint = endpoint(index).with_zone(ZONES[index]).with_zone_hints(hints);
            Candidate::new(&endpoint, Scripted::seeded(0).now.get())
        };
        hints.iter().enumerate().map(candidate).collect()
    }

    #[test]
    fn where_kubernetes_has_divided_the_endpoints_its_word_counts() {
        let candidates = hinted(&[&["b"], &["a", "b"], &["a"]]);
        let shares = shares_from("a", &candidates, 30_000);
        assert_eq!(shares[0], 0);
        assert_shares(&shares[1..], &[1, 1], 5.0);
        // Not meant for anybody here, or not said of all: as if nothing was said.
        assert_shares(&shares_from("d", &candidates, 30_000), &[1, 1, 1], 5.0);
        assert_eq!(shares_from("a", &hinted(&[&["b"], &["a"], &[]]), 3_000), [3_000, 0, 0]);
    }

    #[test]
    fn what_those_meant_do_not_suit_goes_to_others() {
        let candidates = hinted(&[&["b"], &["a"]]);
        let outside = Scripted::seeded(2);
        let picker = ZoneAware::in_zone("a", RoundRobin::default()).prepare(candidates.clone(), outside.now.get());
        let (head, tried) = (head(), [candidates[1].address()]);
        assert_eq!(picker.pick(&Call::new(&head, &outside).after(&tried)), 0);
    }

    #[test]
    fn what_does_not_suit_here_goes_elsewhere() {
        let candidates = zoned(&[1, 1]);
        let outside = Scripted::seeded(2);
        let picker = ZoneAware::in_zone("a", RoundRobin::default()).prepare(candidates.clone(), outside.now.get());
        let (head, tried) = (head(), [candidates[0].address()]);
        let call = Call::new(&head, &outside);
        assert_eq!(picker.pick(&call), 0);
        assert_eq!(picker.pick(&call.after(&tried)), 1);
    }

    #[test]
    fn endpoints_of_no_known_zone_help_the_weak() {
        let mut candidates = zoned(&[1, 2]).to_vec();
        candidates.push(Candidate::new(
            &Endpoint::new("10.1.0.1:80".parse().unwrap()),
            Scripted::seeded(0).now.get(),
        ));
        // Two of four would be even.
        assert_shares(
            &[0, 3].map(|index| shares_from("a", &candidates.clone().into(), 20_000)[index]),
            &[1, 1],
            5.0,
        );
    }

    proptest! {
        #[test]
        fn with_clients_everywhere_all_endpoints_get_the_same(counts in prop::collection::vec(1_usize..8, 2..5)) {
            let candidates = zoned(&counts);
            let mut sum = vec![0; candidates.len()];
            for zone in &ZONES[..counts.len()] {
                for (sum, share) in sum.iter_mut().zip(shares_from(zone, &candidates, 20_000)) {
                    *sum += share;
                }
            }
            assert_shares(&sum, &vec![1; sum.len()], 15.0);
        }
    }
}
