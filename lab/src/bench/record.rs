//! The results of a bench as they are kept: one row a quantity, and the file that two runs are compared by. Pure.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{Effort, Outcome, Pairs, Spread, Target};
use crate::record::{Machine, Versions};

/// What a file of results says it is.
pub const KIND: &str = "obit bench";

/// The version of the file's form. Raised when a reader of the form before would misunderstand it.
pub const FORMAT: u32 = 1;

/// A gathered run of the benches.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BenchFile {
    /// What this is: [`KIND`].
    pub kind: String,
    /// The version of this form, [`FORMAT`].
    pub format: u32,
    /// When the run was begun, RFC 3339.
    pub date: String,
    /// On which machine.
    pub machine: Machine,
    /// Of what.
    pub versions: Versions,
    /// How.
    pub flags: BenchFlags,
    /// Whether the run came to its end: a file is written after every part.
    pub whole: bool,
    /// What was found, in the order in which it was measured.
    pub rows: Vec<Row>,
    /// What could not be measured.
    pub failed: Vec<FailedPart>,
}

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BenchFlags {
    /// How much of the work was done.
    pub effort: Effort,
    /// Pairs of each part; `null`: as many as the effort affords.
    pub pairs: Option<usize>,
    /// The parts, `suite/part`; none: all of them.
    pub parts: Vec<String>,
}

/// A part that could not be measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedPart {
    /// The bench it belongs to.
    pub suite: String,
    /// Its name; `null`: the bench's stage could not be built, and none of its other parts was measured.
    pub part: Option<String>,
    /// Why.
    pub error: String,
}

/// What one part found of one quantity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The bench: "monitor", "client" or "lab".
    pub suite: String,
    /// The part.
    pub part: String,
    /// What was measured.
    pub quantity: String,
    /// The unit of A and B.
    pub unit: String,
    /// Pairs.
    pub pairs: usize,
    /// What is compared with; `null` where there is nothing.
    pub a: Option<Range>,
    /// What is judged.
    pub b: Range,
    /// How much better B is than A.
    pub ratio: Option<Range>,
    /// What the median must be.
    pub target: f64,
    /// Which median, and in which direction.
    pub bound: Bound,
    /// Whether it is; `null` where it is not judged.
    pub met: Option<bool>,
    /// What is to be said besides.
    pub note: Option<String>,
    /// The numbers of the pairs, in their order.
    pub values: Values,
    /// Further figures, medians.
    #[serde(flatten)]
    pub figures: Map<String, Value>,
}

/// What a target is held against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// The ratio is to be this or more.
    RatioAtLeast,
    /// B is to be this or less.
    BAtMost,
}

/// The median of the pairs, and what they span.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Range {
    /// The one in the middle.
    pub median: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
}

/// One number a pair.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Values {
    /// Of A, where there is one.
    pub a: Option<Vec<f64>>,
    /// Of B.
    pub b: Vec<f64>,
    /// Of the ratio, where there is one.
    pub ratio: Option<Vec<f64>>,
}

impl Row {
    /// The outcome of a part of `suite`, as it is kept.
    #[must_use]
    pub fn of(suite: &str, outcome: &Outcome) -> Self {
        let values = |pairs: &Pairs| pairs.values.iter().copied().map(rounded).collect::<Vec<_>>();
        let figures = outcome.figures.iter();
        Self {
            suite: suite.to_owned(),
            part: outcome.part.to_owned(),
            quantity: outcome.quantity.to_owned(),
            unit: outcome.unit.to_owned(),
            pairs: outcome.b.values.len(),
            a: outcome.a.as_ref().map(|pairs| pairs.spread.into()),
            b: outcome.b.spread.into(),
            ratio: outcome.ratio.as_ref().map(|pairs| pairs.spread.into()),
            target: outcome.target.number(),
            bound: match outcome.target {
                Target::RatioAtLeast(_) => Bound::RatioAtLeast,
                Target::AtMost(_) => Bound::BAtMost,
            },
            met: outcome.met(),
            note: outcome.note(),
            values: Values {
                a: outcome.a.as_ref().map(values),
                b: values(&outcome.b),
                ratio: outcome.ratio.as_ref().map(values),
            },
            figures: figures
                .map(|(name, value)| ((*name).to_owned(), json!(rounded(*value))))
                .collect(),
        }
    }

    /// Whether it is of what must not happen at all.
    #[must_use]
    pub fn is_never(&self) -> bool {
        self.bound == Bound::BAtMost && self.target == 0.0
    }
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
    use super::super::outcome::tests::sample;
    use super::*;
    use crate::record::sample_environment;

    /// A file with these rows.
    pub(in super::super) fn file(rows: Vec<Row>) -> BenchFile {
        let environment = sample_environment();
        BenchFile {
            kind: KIND.to_owned(),
            format: FORMAT,
            date: environment.date,
            machine: environment.machine,
            versions: environment.versions,
            flags: BenchFlags {
                effort: Effort::Full,
                pairs: None,
                parts: vec![],
            },
            whole: true,
            rows,
            failed: vec![],
        }
    }

    #[test]
    fn a_line_has_the_agreed_keys_first_and_then_the_figures() {
        let text = serde_json::to_string(&Row::of("monitor", &sample())).unwrap();
        let order = [
            "suite",
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
            "values",
            "monitor_cpu_percent",
        ];
        let parsed: Map<String, Value> = serde_json::from_str(&text).unwrap();
        assert_eq!(parsed.len(), order.len(), "{text}");
        assert!(order.iter().all(|key| parsed.contains_key(*key)), "{text}");
        let begin = r#"{"suite":"monitor","part":"churn-unwatched","quantity":"connections","unit":"1/s","pairs":3,"a":{"median":50000.0,"#;
        assert!(text.starts_with(begin), "{text}");
        assert_eq!(parsed["ratio"]["median"], json!(0.9712));
        assert_eq!(parsed["values"]["ratio"], json!([0.9712, 0.4856, 1.9425]));
        assert_eq!(
            (&parsed["target"], &parsed["bound"], &parsed["met"]),
            (&json!(0.96), &json!("ratio_at_least"), &json!(true))
        );
    }

    #[test]
    fn a_row_comes_back_from_disk_as_it_was() {
        let outcome = Outcome {
            ratio: None,
            a: None,
            target: Target::AtMost(0.0),
            ..sample()
        };
        for row in [Row::of("lab", &outcome), Row::of("monitor", &sample())] {
            let text = serde_json::to_string(&row).unwrap();
            assert_eq!(serde_json::from_str::<Row>(&text).unwrap(), row);
        }
        assert!(Row::of("lab", &outcome).is_never() && !Row::of("lab", &sample()).is_never());
    }
}
