//! What a matrix shows, in plain sentences that follow from its figures alone: also where others are as good as obit, or better.
//! Pure.

use super::{Cell, Digest, Figures, Row};
use crate::bench::Spread;

/// The client that others are held against.
const OURS: &str = "obit";

/// Medians of times that differ by less say nothing: so much do runs of one client. And whatever their medians, times of which trials
/// overlap are alike.
const ALIKE: f64 = 1.05;

/// A sentence a scenario that says anything.
#[must_use]
pub fn summary(digest: &Digest) -> Vec<String> {
    digest.rows.iter().filter_map(sentence).collect()
}

fn sentence(row: &Row) -> Option<String> {
    let (ours, others): (Vec<_>, Vec<_>) = row.cells.iter().partition(|cell| cell.client == OURS);
    let ours = ours.first()?.figures.as_ref()?;
    // Other set-ups of ours are no peers.
    let peers: Vec<(&Cell, &Figures)> = others
        .into_iter()
        .filter(|cell| !cell.client.starts_with(OURS))
        .filter_map(|cell| Some((cell, cell.figures.as_ref()?)))
        .collect();
    let mut sentence = format!("{}: {OURS} {}", row.scenario, told(ours));
    let named = |wanted: Standing| -> Vec<String> {
        let alike = peers.iter().filter(|(_, it)| standing(it, ours) == wanted);
        alike
            .map(|(cell, it)| format!("{} ({})", cell.client, told(it)))
            .collect()
    };
    for (standing, word) in [
        (Standing::Better, "better"),
        (Standing::Alike, "as good"),
        (Standing::Worse, "worse"),
    ] {
        let names = named(standing);
        if !names.is_empty() {
            sentence += &format!("; {word}: {}", names.join(", "));
        }
    }
    Some(sentence + ".")
}

/// What is told of a client.
fn told(figures: &Figures) -> String {
    let ratio = figures.ratio.map_or(String::new(), |ratio| {
        let sign = if figures.stopped > 0 { "≥ " } else { "" };
        format!(" at {sign}{:.2} × its own steady time", ratio.median)
    });
    let slow = match figures.slow.median {
        0.0 => String::new(),
        slow => format!(", {slow:.0} over 1 s"),
    };
    let without = match figures.unrecovered {
        0 => String::new(),
        _ if figures.unrecovered == figures.trials => ", a pod that is back never gets its share".to_owned(),
        trials => format!(
            ", a pod that is back does not get its share in {trials} of {} trials",
            figures.trials
        ),
    };
    format!("{:.0} failed{slow}{ratio}{without}", figures.failed.median)
}

/// How a peer stands beside obit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Better,
    Alike,
    Worse,
}

/// By calls failed, then by slow ones, then by pods that never get their share again, then by time: what matters more decides.
fn standing(peer: &Figures, ours: &Figures) -> Standing {
    for (peer, ours) in [
        (peer.failed.median, ours.failed.median),
        (peer.slow.median, ours.slow.median),
        (
            share(peer.unrecovered, peer.trials),
            share(ours.unrecovered, ours.trials),
        ),
    ] {
        match peer.total_cmp(&ours) {
            std::cmp::Ordering::Less => return Standing::Better,
            std::cmp::Ordering::Greater => return Standing::Worse,
            std::cmp::Ordering::Equal => {}
        }
    }
    match (peer.ratio, ours.ratio) {
        (Some(peer), Some(ours)) if shorter(peer, ours) => Standing::Better,
        (Some(peer), Some(ours)) if shorter(ours, peer) => Standing::Worse,
        _ => Standing::Alike,
    }
}

/// Whether one time is shorter than another in every trial, and by more than runs of one client differ. Of one trial of each nothing
/// can be told but that.
fn shorter(one: Spread, other: Spread) -> bool {
    one.median * ALIKE < other.median && one.max < other.min
}

/// 1 if it is so in most trials.
fn share(some: usize, trials: usize) -> f64 {
    f64::from(u8::from(2 * some > trials))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{documents, environment};
    use super::*;
    use crate::record::Outcome;

    #[test]
    fn a_peer_that_is_better_is_said_to_be() {
        let told = summary(&Digest::of(&environment(), &documents()));
        assert!(
            told[1].starts_with("kill: obit 0 failed, 1 over 1 s at ≥ 1.10 ×"),
            "{told:?}"
        );
        assert!(told[1].contains("worse: tonic (252 failed"), "{told:?}");
        assert!(told[0].contains("as good: tonic (0 failed"), "{told:?}");
        let mut documents = documents();
        for document in documents
            .iter_mut()
            .filter(|it| it.client == "obit" && it.scenario == "kill")
        {
            if let Outcome::Measured(measured) = &mut document.outcome {
                measured.fail = 1_000;
            }
        }
        let told = summary(&Digest::of(&environment(), &documents));
        assert!(told[1].contains("better: tonic (252 failed"), "{told:?}");
    }

    #[test]
    fn times_of_which_trials_overlap_are_alike() {
        let spread = |values: [f64; 3]| Spread::of(values).unwrap();
        assert!(shorter(spread([1.0, 1.1, 1.2]), spread([1.3, 1.4, 1.5])));
        assert!(!shorter(spread([1.0, 1.1, 1.35]), spread([1.3, 1.4, 1.5])));
        assert!(!shorter(spread([1.0, 1.01, 1.02]), spread([1.03, 1.04, 1.05])));
    }

    #[test]
    fn nothing_is_said_where_obit_was_not_measured() {
        assert!(summary(&Digest::of(&environment(), [])).is_empty());
    }
}
