//! What a part found, held against its target. Pure.

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::Spread;

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

    /// Which way, as in the JSON.
    #[must_use]
    pub fn bound(self) -> &'static str {
        match self {
            Self::RatioAtLeast(_) => "ratio_at_least",
            Self::AtMost(_) => "b_at_most",
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
    pub a: Option<Spread>,
    /// B, what is judged.
    pub b: Spread,
    /// How much better B is than A, in each pair: B / A, or A / B of what is better the smaller it is.
    pub ratio: Option<Spread>,
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
            Target::RatioAtLeast(least) => self.ratio.is_some_and(|ratio| ratio.median >= least),
            Target::AtMost(most) => self.b.median <= most,
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

    /// One line of JSON. The figures follow the keys every line has.
    ///
    /// # Errors
    /// None that is known: numbers and words can be written.
    pub fn line(&self) -> serde_json::Result<String> {
        #[derive(Serialize)]
        struct Line<'a> {
            part: &'a str,
            quantity: &'a str,
            unit: &'a str,
            pairs: usize,
            a: Option<Range>,
            b: Range,
            ratio: Option<Range>,
            target: f64,
            bound: &'a str,
            met: Option<bool>,
            note: Option<String>,
            #[serde(flatten)]
            figures: Map<String, Value>,
        }
        let figures = self.figures.iter();
        serde_json::to_string(&Line {
            part: self.part,
            quantity: self.quantity,
            unit: self.unit,
            pairs: self.b.count,
            a: self.a.map(Range::from),
            b: self.b.into(),
            ratio: self.ratio.map(Range::from),
            target: self.target.number(),
            bound: self.target.bound(),
            met: self.met(),
            note: self.note(),
            figures: figures
                .map(|(name, value)| ((*name).to_owned(), json!(rounded(*value))))
                .collect(),
        })
    }
}

#[derive(Serialize)]
struct Range {
    median: f64,
    min: f64,
    max: f64,
}

impl From<Spread> for Range {
    fn from(spread: Spread) -> Self {
        Self {
            median: rounded(spread.median),
            min: rounded(spread.min),
            max: rounded(spread.max),
        }
    }
}

/// Without digits nobody measured.
fn rounded(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn spread(median: f64) -> Spread {
        Spread {
            count: 7,
            median,
            min: 0.5 * median,
            max: 2.0 * median,
        }
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
    fn a_line_has_the_agreed_keys_first_and_then_the_figures() {
        let text = sample().line().unwrap();
        let order = [
            "part",
            "quantity",
            "unit",
            "pairs",
            "a",
            "b",
            "ratio",
            "target",
            "bound",
            "met",
            "note",
            "monitor_cpu_percent",
        ];
        let parsed: Map<String, Value> = serde_json::from_str(&text).unwrap();
        assert_eq!(parsed.len(), order.len(), "{text}");
        assert!(order.iter().all(|key| parsed.contains_key(*key)), "{text}");
        assert!(
            text.starts_with(
                r#"{"part":"churn-unwatched","quantity":"connections","unit":"1/s","pairs":7,"a":{"median":50000.0,"#
            ),
            "{text}"
        );
        assert_eq!(parsed["ratio"]["median"], json!(0.9712));
        assert_eq!(
            (&parsed["target"], &parsed["bound"], &parsed["met"]),
            (&json!(0.96), &json!("ratio_at_least"), &json!(true))
        );
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
        assert_eq!(exempt.met(), None);
        let line: Value = serde_json::from_str(&exempt.line().unwrap()).unwrap();
        assert!(line["met"].is_null() && line["note"] == "no SCHED_FIFO here");
    }
}
