//! What a part found, held against its target. Pure.

use anyhow::Context as _;

use super::Pairs;
use super::spread::in_unit;

/// What a median must be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Target {
    /// The ratio: this or more.
    RatioAtLeast(f64),
    /// B: this or less.
    AtMost(f64),
}

impl Target {
    /// The number in it.
    #[must_use]
    pub fn number(self) -> f64 {
        match self {
            Self::RatioAtLeast(number) | Self::AtMost(number) => number,
        }
    }
}

/// What one part found of one quantity.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The part's name.
    pub part: &'static str,
    /// What was measured: "connections", "p99", …
    pub quantity: &'static str,
    /// The unit of A and B: "1/s", "us", "MiB", …
    pub unit: &'static str,
    /// A, what is compared with: one number a pair. `None` where there is nothing to compare with.
    pub a: Option<Pairs>,
    /// B, what is judged.
    pub b: Pairs,
    /// How much better B is than A, in each pair: B / A, or A / B of what is better the smaller it is.
    pub ratio: Option<Pairs>,
    /// What the median must be.
    pub target: Target,
    /// Why the target is missed whatever the median says.
    pub fault: Option<String>,
    /// Why the target cannot be asked for in this run.
    pub exempt: Option<String>,
    /// What the reader must know of this run besides.
    pub remark: Option<String>,
    /// Further figures, medians, with their units in their names.
    pub figures: Vec<(&'static str, f64)>,
}

impl Outcome {
    /// Whether the target is met; `None` if it cannot be asked for here.
    #[must_use]
    pub fn met(&self) -> Option<bool> {
        if self.exempt.is_some() {
            return None;
        }
        let by_median = match self.target {
            Target::RatioAtLeast(least) => self.ratio.as_ref().is_some_and(|ratio| ratio.spread.median >= least),
            Target::AtMost(most) => self.b.spread.median <= most,
        };
        Some(by_median && self.fault.is_none())
    }

    /// What is to be said besides the numbers.
    #[must_use]
    pub fn note(&self) -> Option<String> {
        let said = [&self.fault, &self.exempt, &self.remark].into_iter().flatten();
        let said: Vec<_> = said.map(String::as_str).collect();
        (!said.is_empty()).then(|| said.join("; "))
    }

    /// One with a single side: so many of `quantity`, one number a pair, and not more than `most`.
    pub(super) fn at_most(
        part: &'static str,
        quantity: &'static str,
        unit: &'static str,
        values: impl IntoIterator<Item = f64>,
        most: f64,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            part,
            quantity,
            unit,
            a: None,
            b: Pairs::of(values).context("nothing was measured")?,
            ratio: None,
            target: Target::AtMost(most),
            fault: None,
            exempt: None,
            remark: None,
            figures: Vec::new(),
        })
    }

    /// The same of what must not happen in any pair: the median does not hide it.
    pub(super) fn never(
        part: &'static str,
        quantity: &'static str,
        unit: &'static str,
        counts: &[u64],
        what: Option<&str>,
    ) -> anyhow::Result<Self> {
        let values = counts.iter().map(|count| in_unit(*count, 1.0));
        let outcome = Self::at_most(part, quantity, unit, values, 0.0)?;
        let pairs = counts.iter().filter(|count| **count > 0).count();
        let fault = (pairs > 0).then(|| {
            let what = what.map(|what| format!("; the first: {what}"));
            format!("not 0 in {pairs} of {} pairs{}", counts.len(), what.unwrap_or_default())
        });
        Ok(Self { fault, ..outcome })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn spread(median: f64) -> Pairs {
        Pairs::of([1.0, 0.5, 2.0].map(|part| part * median)).unwrap()
    }

    pub(in super::super) fn sample() -> Outcome {
        Outcome {
            part: "churn-unwatched",
            quantity: "connections",
            unit: "1/s",
            a: Some(spread(50_000.0)),
            b: spread(48_561.725),
            ratio: Some(spread(0.971_234_5)),
            target: Target::RatioAtLeast(0.96),
            fault: None,
            exempt: None,
            remark: None,
            figures: vec![("monitor_cpu_percent", 1.25)],
        }
    }

    #[test]
    fn the_median_decides_and_the_bound_itself_meets_the_target() {
        for (target, met) in [
            (Target::RatioAtLeast(0.971_234_5), true),
            (Target::RatioAtLeast(0.98), false),
            (Target::AtMost(48_561.725), true),
            (Target::AtMost(48_561.0), false),
        ] {
            assert_eq!(Outcome { target, ..sample() }.met(), Some(met), "{target:?}");
        }
    }

    #[test]
    fn a_fault_is_never_met_and_an_exemption_is_not_judged() {
        let fault = Outcome {
            fault: Some("one verdict never came".into()),
            ..sample()
        };
        assert_eq!(
            (fault.met(), fault.note()),
            (Some(false), Some("one verdict never came".into()))
        );
        let exempt = Outcome {
            exempt: Some("no SCHED_FIFO here".into()),
            ..sample()
        };
        assert_eq!((exempt.met(), exempt.note()), (None, Some("no SCHED_FIFO here".into())));
    }

    #[test]
    fn what_must_never_happen_is_missed_when_it_happens_once() {
        let never = |counts: &[u64]| Outcome::never("golem", "failed calls", "calls", counts, Some("lost")).unwrap();
        assert_eq!(never(&[0, 0, 0]).met(), Some(true));
        let once = never(&[0, 3, 0]);
        assert_eq!((once.b.spread.median, once.met()), (0.0, Some(false)));
        assert_eq!(once.note(), Some("not 0 in 1 of 3 pairs; the first: lost".into()));
    }
}
