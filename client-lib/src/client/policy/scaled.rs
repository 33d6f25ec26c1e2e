//! The same endpoints under other weights, as a policy that wraps another shows them to it. Pure.

use std::sync::Arc;

use super::Candidate;

/// The weight the heaviest comes out with, so that fractions survive.
const HEAVIEST: f64 = 65_536.0;

/// The candidates with their weights multiplied by a factor each, above 0. None comes out without any weight.
#[expect(clippy::cast_possible_truncation, reason = "between 1 and 65 536")]
#[expect(clippy::cast_sign_loss, reason = "between 1 and 65 536")]
pub(crate) fn scaled(candidates: &[Candidate], factor: impl Fn(&Candidate) -> f64) -> Arc<[Candidate]> {
    let weight = |candidate: &Candidate| f64::from(candidate.weight()) * factor(candidate);
    let heaviest = candidates.iter().map(weight).fold(f64::MIN_POSITIVE, f64::max);
    let rescaled = |candidate: &Candidate| {
        let weight = weight(candidate) / heaviest * HEAVIEST;
        candidate.clone().weighing(weight.round().clamp(1.0, HEAVIEST) as u32)
    };
    candidates.iter().map(rescaled).collect()
}
