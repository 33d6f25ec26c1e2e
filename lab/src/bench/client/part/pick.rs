//! What a pick costs: the dearest policy among a thousand endpoints is the row.

use anyhow::Context as _;

use super::super::role::Picked;
use super::super::stage::Stage;
use super::{Part, in_unit, median};
use crate::bench::Outcome;
use crate::bench::run::Scale;
use crate::bench::talk::{go, ready};

/// Picks of each policy that are timed.
const PICKS: u32 = 200_000;

/// Endpoints among which is picked.
const ENDPOINTS: u32 = 1_000;

/// The names of the figures, in the order of the policies.
const FIGURES: [&str; 9] = [
    "round_robin_ns",
    "random_ns",
    "two_choices_ns",
    "least_request_ns",
    "peak_ewma_ns",
    "header_hash_ns",
    "header_hash_bounded_ns",
    "zone_aware_ns",
    "slow_start_ns",
];

pub(super) async fn measure(stage: &Stage, scale: Scale) -> anyhow::Result<Vec<Outcome>> {
    let (picks, endpoints) = (scale.of(PICKS).to_string(), ENDPOINTS.to_string());
    let mut picker = ready(stage.role(&["pick", "--picks", &picks, "--endpoints", &endpoints])?).await?;
    let mut pairs: Vec<Vec<Picked>> = Vec::new();
    for pair in 0..scale.pairs {
        let picked: Vec<Picked> = go(&mut picker).await?;
        let dearest = picked.iter().max_by(|one, other| one.pick_ns.total_cmp(&other.pick_ns));
        let dearest = dearest.context("no policy")?;
        scale.progress(
            Part::Pick,
            pair,
            &format!("{}: {:.0} ns", dearest.policy, dearest.pick_ns),
        );
        pairs.push(picked);
    }
    let mut figures = Vec::new();
    for (number, name) in FIGURES.into_iter().enumerate() {
        figures.push((name, median(pairs.iter().map(|picked| picked[number].pick_ns))?));
    }
    // Of the policies the one with the dearest median, so that one disturbed pick of another does not make the row.
    let dearest = (0..FIGURES.len()).max_by(|one, other| figures[*one].1.total_cmp(&figures[*other].1));
    let dearest = dearest.context("no policy")?;
    let slowest_to_prepare = pairs.iter().map(|picked| {
        let prepare_ns = picked.iter().map(|it| it.prepare_ns).max();
        in_unit(prepare_ns.unwrap_or(0), 1e3)
    });
    figures.push(("slowest_to_prepare_us", median(slowest_to_prepare)?));
    let costs = pairs.iter().map(|picked| picked[dearest].pick_ns);
    let outcome = Part::Pick.at_most("the dearest pick", "ns", costs, 200.0)?;
    Ok(vec![Outcome { figures, ..outcome }])
}

#[cfg(test)]
mod tests {
    use super::super::super::role::pick::policies;
    use super::*;

    #[test]
    fn every_policy_has_a_figure_of_its_name() {
        let names = policies().map(|(name, _)| format!("{name}_ns"));
        assert_eq!(names, FIGURES);
    }
}
