//! The statistics of a part: the median of its pairs and the range they span, and percentiles within a pair. Pure.

/// One number a pair, summed up.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// How many numbers there were.
    pub count: usize,
    /// The one in the middle; of an even number, the mean of the two.
    pub median: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
}

impl Spread {
    /// Sums up `values`; `None` of nothing, or if one of them is no number.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        if values.iter().any(|value| !value.is_finite()) {
            return None;
        }
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let (below, above) = (values[(values.len() - 1) / 2], values[values.len() / 2]);
        Some(Self {
            count: values.len(),
            median: f64::midpoint(below, above),
            min,
            max,
        })
    }
}

/// Of what should be alike, the largest may be so many times the smallest where a machine is quiet.
const RESTLESS: f64 = 1.1;

impl Spread {
    /// Whether the numbers differ by more than a quiet machine makes them.
    #[must_use]
    pub(super) fn is_restless(self) -> bool {
        self.max > RESTLESS * self.min
    }
}

/// The value below or at which this share of `values` lies (nearest rank); `None` of nothing.
#[must_use]
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rank is between 1 and how many values there are, and a bench has few"
)]
pub(super) fn percentile(values: &[u64], share: f64) -> Option<u64> {
    let mut values = values.to_vec();
    values.sort_unstable();
    let rank = (share * values.len() as f64).ceil().max(1.0) as usize;
    values.get(rank - 1).copied()
}

/// One number a pair, in the order of the pairs, and what they sum up to.
#[derive(Debug, Clone, PartialEq)]
pub struct Pairs {
    /// The numbers.
    pub values: Vec<f64>,
    /// Summed up.
    pub spread: Spread,
}

impl Pairs {
    /// Keeps `values`; `None` of nothing, or if one of them is no number.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let values: Vec<f64> = values.into_iter().collect();
        let spread = Spread::of(values.iter().copied())?;
        Some(Self { values, spread })
    }
}

/// A count or a time in another unit.
#[expect(clippy::cast_precision_loss, reason = "counts and times of a bench are below 2^53")]
pub(super) fn in_unit(count: u64, unit: f64) -> f64 {
    count as f64 / unit
}

/// How much was done in a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Done {
    /// Connections, exchanges, dials.
    pub count: u64,
    /// In how long, nanoseconds.
    pub elapsed_ns: u64,
    /// Processor time the process took for it, nanoseconds: what others did meanwhile is not in it.
    pub cpu_ns: u64,
}

impl Done {
    /// How many a second.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts and times of a bench are below 2^53")]
    pub fn per_second(self) -> f64 {
        self.count as f64 * 1e9 / self.elapsed_ns as f64
    }

    /// How many a second of processor time.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts and times of a bench are below 2^53")]
    pub fn per_cpu_second(self) -> f64 {
        self.count as f64 * 1e9 / self.cpu_ns as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_one_whatever_the_order() {
        let spread = Spread::of([0.9, 1.2, 1.0]).unwrap();
        assert_eq!(
            (spread.count, spread.median, spread.min, spread.max),
            (3, 1.0, 0.9, 1.2)
        );
    }

    #[test]
    fn of_an_even_number_it_is_between_the_two_in_the_middle() {
        assert_eq!(Spread::of([4.0, 1.0, 2.0, 100.0]).unwrap().median, 3.0);
        assert_eq!(Spread::of([5.0]).unwrap().median, 5.0);
    }

    #[test]
    fn of_nothing_or_of_what_is_no_number_there_is_no_spread() {
        assert_eq!(Spread::of([]), None);
        assert_eq!(Spread::of([1.0, f64::NAN]), None);
        assert_eq!(
            Spread::of([Done {
                count: 1,
                elapsed_ns: 0,
                cpu_ns: 0,
            }
            .per_second()]),
            None
        );
    }

    #[test]
    fn a_percentile_is_one_of_the_values() {
        let values: Vec<u64> = (1..=200).rev().collect();
        assert_eq!(percentile(&values, 0.5), Some(100));
        assert_eq!(percentile(&values, 0.99), Some(198));
        assert_eq!(percentile(&[7], 0.99), Some(7));
        assert_eq!(percentile(&[], 0.5), None);
    }

    #[test]
    fn a_rate_is_per_second() {
        let done = Done {
            count: 30_000,
            elapsed_ns: 500_000_000,
            cpu_ns: 250_000_000,
        };
        assert_eq!(done.per_second(), 60_000.0);
        assert_eq!(done.per_cpu_second(), 120_000.0);
    }
}
