//! Weights laid end to end on a line: to draw by weight is to draw a point of it. Pure.

use std::ops::Range;

use super::Candidate;

/// The candidates' stretches of the line, each as long as its weight.
#[derive(Debug)]
pub(crate) struct Shares {
    /// Where each stretch ends; empty when all have length 1, as they mostly do.
    ends: Box<[u32]>,
    total: u32,
}

impl Shares {
    /// Weights are reduced by their common divisor, and in the end to what fits 32 bits, but none to nothing.
    pub(crate) fn of(candidates: &[Candidate]) -> Self {
        let weights = || candidates.iter().map(Candidate::weight);
        let divisor = weights().fold(0, gcd).max(1);
        let total: u64 = weights().map(|weight| u64::from(weight / divisor)).sum();
        let count = u64::try_from(candidates.len()).unwrap_or(u64::MAX);
        if total == count {
            return Self {
                ends: Box::default(),
                total: u32::try_from(count).unwrap_or(u32::MAX),
            };
        }
        // Rounded up, so half of the line is kept for that.
        let scale = (total / u64::from(u32::MAX / 2) + 1) * u64::from(divisor);
        let mut end: u32 = 0;
        let ends: Box<[u32]> = weights()
            .map(|weight| {
                let length = u64::from(weight).div_ceil(scale);
                end = end.saturating_add(u32::try_from(length).unwrap_or(u32::MAX));
                end
            })
            .collect();
        Self { ends, total: end }
    }

    /// The length of the line.
    pub(crate) fn total(&self) -> u32 {
        self.total
    }

    /// Whose stretch `point`, below [`total`](Self::total), lies in. `O(log n)`, and `O(1)` when all weigh alike.
    pub(crate) fn at(&self, point: u32) -> usize {
        if self.ends.is_empty() {
            point as usize
        } else {
            self.ends.partition_point(|end| *end <= point)
        }
    }

    /// One by weight, from 32 random bits.
    pub(crate) fn draw(&self, bits: u32) -> usize {
        self.at(below(bits, self.total))
    }

    /// One by weight, other than `index`; `index` itself when there is no other.
    pub(crate) fn draw_other(&self, index: usize, bits: u32) -> usize {
        let taken = self.stretch(index);
        let rest = self.total - (taken.end - taken.start);
        if rest == 0 {
            return index;
        }
        let point = below(bits, rest);
        self.at(if point < taken.start {
            point
        } else {
            point + (taken.end - taken.start)
        })
    }

    fn stretch(&self, index: usize) -> Range<u32> {
        if self.ends.is_empty() {
            let start = u32::try_from(index).unwrap_or(u32::MAX - 1);
            return start..start + 1;
        }
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        start..self.ends[index]
    }
}

/// Maps 32 random bits to `0..total` (Lemire's multiplication; the bias is below `total / 2^32`).
pub(crate) fn below(bits: u32, total: u32) -> u32 {
    ((u64::from(bits) * u64::from(total)) >> 32) as u32
}

/// The two halves of 64 random bits.
#[expect(clippy::cast_possible_truncation, reason = "the lower half is meant")]
pub(crate) fn halves(bits: u64) -> (u32, u32) {
    (bits as u32, (bits >> 32) as u32)
}

pub(crate) fn gcd(one: u32, other: u32) -> u32 {
    if other == 0 { one } else { gcd(other, one % other) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::fixture::weighing;
    use super::*;

    proptest! {
        #[test]
        fn every_stretch_is_as_long_as_its_weight(weights in prop::collection::vec(1_u32..50, 1..20)) {
            let shares = Shares::of(&weighing(&weights));
            let mut lengths = vec![0_u32; weights.len()];
            for point in 0..shares.total() {
                lengths[shares.at(point)] += 1;
            }
            for (length, weight) in lengths.iter().zip(&weights) {
                prop_assert_eq!(length * weights[0], weight * lengths[0]);
            }
        }

        #[test]
        fn the_other_is_another_whatever_the_bits(
            weights in prop::collection::vec(1_u32..50, 2..20), index: prop::sample::Index, bits: u32,
        ) {
            let index = index.index(weights.len());
            let shares = Shares::of(&weighing(&weights));
            let other = shares.draw_other(index, bits);
            prop_assert!(other != index && other < weights.len());
        }
    }

    #[test]
    fn even_the_heaviest_weights_leave_the_lightest_its_place() {
        let shares = Shares::of(&weighing(&[u32::MAX, 1, u32::MAX, u32::MAX - 1]));
        assert_eq!(shares.at(shares.total() / 6), 0);
        assert_eq!(shares.stretch(1).len(), 1);
        assert_eq!(shares.draw(u32::MAX), 3);
        assert_eq!(shares.at(shares.total() / 2), 2);
    }

    #[test]
    fn the_only_one_has_no_other() {
        assert_eq!(Shares::of(&weighing(&[7])).draw_other(0, 12345), 0);
    }
}
