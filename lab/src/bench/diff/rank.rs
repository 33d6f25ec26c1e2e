//! How likely two samples lie so far apart if nothing changed: the two-sided Mann–Whitney test, and how many rows of a file may be
//! asked at once. Pure.

/// How likely a whole file may hold a false alarm.
pub(super) const ALPHA: f64 = 0.05;

/// Of more numbers together the normal distribution takes the place of counting.
const COUNTED: usize = 60;

/// What the test says of two samples.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Ranked {
    /// How likely they lie this far apart or further, if they are of one kind.
    pub(super) p: f64,
    /// The same if they had nothing in common: no order of these numbers would have less.
    pub(super) least_p: f64,
}

/// Compares `one` with `other`; `None` if there is nothing to compare.
pub(super) fn mann_whitney(one: &[f64], other: &[f64]) -> Option<Ranked> {
    if one.is_empty() || other.is_empty() {
        return None;
    }
    let ranks = Ranks::of(one, other);
    let p = match ranks.doubled.len() {
        ..=COUNTED => ranks.counted(),
        _ => ranks.approximated(),
    };
    Some(Ranked {
        p: p(&ranks, ranks.deviation(ranks.sum)),
        least_p: p(&ranks, ranks.largest()),
    })
}

/// How likely a deviation of a sum of ranks is.
type Likelihood = Box<dyn Fn(&Ranks, u64) -> f64>;

/// The ranks of both samples together; equal numbers share theirs. Doubled, so that shared ones are whole.
struct Ranks {
    /// Of all numbers, in their order.
    doubled: Vec<u64>,
    /// How many belong to the first sample.
    own: usize,
    /// The sum of theirs.
    sum: u64,
}

impl Ranks {
    fn of(one: &[f64], other: &[f64]) -> Self {
        let own = one.iter().map(|value| (*value, true));
        let mut all: Vec<_> = own.chain(other.iter().map(|value| (*value, false))).collect();
        all.sort_by(|(one, _), (other, _)| one.total_cmp(other));
        let (mut doubled, mut sum, mut before) = (Vec::with_capacity(all.len()), 0, 0_u64);
        for equal in all.chunk_by(|(one, _), (other, _)| one == other) {
            let count = equal.len() as u64;
            let rank = 2 * before + count + 1;
            sum += rank * equal.iter().filter(|(_, own)| *own).count() as u64;
            doubled.resize(doubled.len() + equal.len(), rank);
            before += count;
        }
        Self {
            doubled,
            own: one.len(),
            sum,
        }
    }

    /// How far a sum is from what is expected of one kind.
    fn deviation(&self, sum: u64) -> u64 {
        let expected = self.own as u64 * (self.doubled.len() as u64 + 1);
        sum.abs_diff(expected)
    }

    /// How far it could be.
    fn largest(&self) -> u64 {
        let lowest: u64 = self.doubled.iter().take(self.own).sum();
        let highest: u64 = self.doubled.iter().rev().take(self.own).sum();
        self.deviation(lowest).max(self.deviation(highest))
    }

    /// By counting, of all ways to draw the first sample, those that deviate as much.
    fn counted(&self) -> Likelihood {
        let sums = usize::try_from(self.doubled.iter().rev().take(self.own).sum::<u64>()).unwrap_or(usize::MAX);
        // How many ways there are to draw so many numbers with that sum.
        let mut ways = vec![vec![0.0_f64; sums + 1]; self.own + 1];
        ways[0][0] = 1.0;
        for rank in self
            .doubled
            .iter()
            .map(|rank| usize::try_from(*rank).unwrap_or(usize::MAX))
        {
            for drawn in (1..=self.own).rev() {
                for sum in rank..=sums {
                    ways[drawn][sum] += ways[drawn - 1][sum - rank];
                }
            }
        }
        let ways = ways.swap_remove(self.own);
        Box::new(move |ranks, deviation| {
            let far = (0_u64..)
                .zip(&ways)
                .filter(|(sum, _)| ranks.deviation(*sum) >= deviation);
            far.map(|(_, ways)| ways).sum::<f64>() / ways.iter().sum::<f64>()
        })
    }

    /// By the normal distribution, corrected for equal numbers and for sums being whole.
    #[expect(clippy::cast_precision_loss, reason = "ranks of a bench are below 2^53")]
    fn approximated(&self) -> Likelihood {
        let (all, own) = (self.doubled.len() as f64, self.own as f64);
        let shared = self.doubled.chunk_by(|one, other| one == other).map(|equal| {
            let count = equal.len() as f64;
            count.powi(3) - count
        });
        let variance = own * (all - own) / 3.0 * (all + 1.0 - shared.sum::<f64>() / (all * (all - 1.0)));
        Box::new(move |_, deviation| {
            if variance <= 0.0 {
                return 1.0;
            }
            let deviation = (deviation as f64 - 1.0).max(0.0);
            libm::erfc(deviation / variance.sqrt() / std::f64::consts::SQRT_2)
        })
    }
}

/// Below which likelihood a row counts as changed, so that a whole file without changes holds a false alarm with a likelihood of
/// [`ALPHA`] at most: Bonferroni's correction as Tarone improved it. Rows that could not get there whatever their numbers' order
/// cannot raise a false alarm, and do not count.
pub(super) fn bound(rows: &[Ranked]) -> f64 {
    let bounds = (1_u32..).map(|rows| (rows, ALPHA / f64::from(rows)));
    let mut fitting = bounds.filter(|(most, bound)| {
        let able = rows.iter().filter(|row| row.least_p <= *bound).count();
        able <= usize::try_from(*most).unwrap_or(usize::MAX)
    });
    fitting.next().map_or(0.0, |(_, bound)| bound)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two samples of these sizes without equal numbers, in which `inversions` times a number of the second is the smaller one.
    fn samples(sizes: [u32; 2], inversions: u32) -> [Vec<f64>; 2] {
        let [one, other] = sizes;
        let mut left = inversions;
        let mut first: Vec<_> = (1..=one)
            .map(|place| {
                let over = left.min(other);
                left -= over;
                // Above so many of the other, below the next.
                f64::from(over) + f64::from(one - place + 1) / f64::from(one + 1)
            })
            .collect();
        first.reverse();
        [first, (1..=other).map(f64::from).collect()]
    }

    fn p(sizes: [u32; 2], inversions: u32) -> f64 {
        let [one, other] = samples(sizes, inversions);
        mann_whitney(&one, &other).unwrap().p
    }

    #[test]
    fn the_critical_values_are_those_of_the_published_tables() {
        for (sizes, at_5_percent, at_1_percent) in [
            ([5, 5], 2, 0),
            ([4, 7], 3, 0),
            ([6, 8], 8, 4),
            ([7, 7], 8, 4),
            ([8, 10], 17, 11),
            ([10, 10], 23, 16),
            ([15, 20], 90, 73),
            ([20, 20], 127, 105),
        ] {
            for (level, critical) in [(0.05, at_5_percent), (0.01, at_1_percent)] {
                assert!(
                    p(sizes, critical) <= level,
                    "{sizes:?} at {level}: {}",
                    p(sizes, critical)
                );
                assert!(p(sizes, critical + 1) > level, "{sizes:?} at {level}");
            }
        }
    }

    #[test]
    fn samples_with_nothing_in_common_are_one_of_all_ways_to_draw_them_in_each_direction() {
        assert!((p([7, 7], 0) - 2.0 / 3_432.0).abs() < 1e-12);
        assert!((p([3, 3], 0) - 0.1).abs() < 1e-12);
        assert_eq!(p([3, 3], 0), p([3, 3], 9), "whichever is the smaller one");
        let ranked = mann_whitney(&[1.0, 2.0, 9.0], &[3.0, 4.0, 5.0]).unwrap();
        assert!((ranked.least_p - 0.1).abs() < 1e-12 && ranked.p > 0.5, "{ranked:?}");
    }

    #[test]
    fn equal_numbers_share_a_rank_and_nothing_but_equal_numbers_says_nothing() {
        let same = mann_whitney(&[0.0; 7], &[0.0; 7]).unwrap();
        assert_eq!((same.p, same.least_p), (1.0, 1.0));
        // Of the ten ways to draw two of 1 1 2 2 2, one has both ones, and none deviates as far in the other direction.
        let ranked = mann_whitney(&[1.0, 1.0], &[2.0, 2.0, 2.0]).unwrap();
        assert!((ranked.p - 0.1).abs() < 1e-12, "{ranked:?}");
        assert!(mann_whitney(&[], &[1.0]).is_none());
    }

    #[test]
    fn counting_and_the_normal_distribution_agree_where_both_work() {
        for inversions in [150, 250, 350, 440] {
            let [one, other] = samples([30, 30], inversions);
            let ranks = Ranks::of(&one, &other);
            let deviation = ranks.deviation(ranks.sum);
            let [counted, normal] = [ranks.counted(), ranks.approximated()].map(|p| p(&ranks, deviation));
            assert!((counted - normal).abs() < 0.002, "{inversions}: {counted} and {normal}");
        }
        assert!(p([100, 100], 3_000) < 1e-5 && p([100, 100], 4_900) > 0.5);
    }

    #[test]
    fn rows_that_cannot_change_do_not_weaken_those_that_can() {
        let row = |least_p| Ranked { p: 1.0, least_p };
        let able = row(2.0 / 3_432.0);
        assert_eq!(bound(&[able]), ALPHA);
        assert_eq!(bound(&[[able; 20].as_slice(), &[row(1.0); 30]].concat()), ALPHA / 20.0);
        // Six against six: so many rows cannot all be asked, and then none can.
        assert!(bound(&[row(2.0 / 924.0); 40]) < 2.0 / 924.0);
        assert_eq!(bound(&[]), ALPHA);
    }
}
