//! What changed between two runs of the benches: row by row, whether the difference is more than noise. Pure, but for [`run`].

mod rank;
mod text;

use std::process::ExitCode;

use serde::Serialize;

pub use text::text;

use self::rank::{Ranked, bound, mann_whitney};
use super::file::read;
use super::others;
use super::record::{BenchFile, Bound, FailedPart, Row};
use super::spread::Spread;
use crate::cli::DiffArgs;

/// A smaller change of a ratio is not worth telling, however sure it is: a fiftieth.
const LEAST_RATIO: f64 = 0.02;

/// The same of B alone, in which the machine's own mood is: a twentieth.
const LEAST_ALONE: f64 = 0.05;

/// Where others took more of the machine, percent, a change of what is measured alone is not told from theirs.
const QUIET: f64 = 10.0;

/// Nor is one of a ratio that is smaller than a tenth: what shares its processors works otherwise than what has them to itself.
const LEAST_RATIO_BESIDE_OTHERS: f64 = 0.1;

/// Exit codes: nothing got worse, something did, there is nothing to compare.
const WELL: u8 = 0;
const WORSE: u8 = 1;
const UNREADABLE: u8 = 2;

/// Prints what changed between two files; the exit code tells whether anything got worse.
///
/// # Errors
/// When the result cannot be written.
pub fn run(args: &DiffArgs) -> anyhow::Result<ExitCode> {
    let files = read(&args.a).and_then(|a| Ok((a, read(&args.b)?)));
    let compared = files
        .map_err(anyhow::Error::from)
        .and_then(|(a, b)| Ok(Diff::of(&a, &b)?));
    let diff = match compared {
        Ok(diff) => diff,
        Err(error) => {
            eprintln!("obit-lab: {error:#}");
            return Ok(UNREADABLE.into());
        }
    };
    for warning in &diff.warnings {
        eprintln!("warning: {warning}");
    }
    if args.json {
        for row in &diff.rows {
            println!("{}", serde_json::to_string(row)?);
        }
    } else {
        print!("{}", text(&diff));
    }
    Ok(if diff.got_worse() { WORSE.into() } else { WELL.into() })
}

/// Two runs did other amounts of work.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the two runs did other amounts of work ({one} and {other}): their numbers are no others' measure")]
pub struct OtherEffort {
    one: String,
    other: String,
}

/// What changed.
#[derive(Debug, Clone, PartialEq)]
pub struct Diff {
    /// Row by row: those of A in their order, then those that only B has.
    pub rows: Vec<ComparedRow>,
    /// What makes the comparison doubtful.
    pub warnings: Vec<String>,
}

/// What became of one quantity.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ComparedRow {
    /// The bench.
    pub suite: String,
    /// The part.
    pub part: String,
    /// What was measured.
    pub quantity: String,
    /// What was compared.
    pub compared: Measure,
    /// The unit of the medians.
    pub unit: String,
    /// The median in A; `null` if A has no such row.
    pub a: Option<f64>,
    /// The median in B; `null` if B has no such row.
    pub b: Option<f64>,
    /// How much better B is, percent of A; negative if it is worse. `null` where that is no number.
    pub better_percent: Option<f64>,
    /// How likely such a difference is if nothing changed, by itself.
    pub p: Option<f64>,
    /// What that means.
    pub verdict: Verdict,
    /// Why, where numbers do not say it.
    pub note: Option<String>,
}

/// What is compared of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// How much better obit was than what it was measured beside: most of what a machine does to both is not in it.
    Ratio,
    /// The number itself.
    Alone,
}

/// What the difference of a row means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Nothing that could not be chance, or too little to be worth telling.
    Noise,
    /// B is better.
    Better,
    /// B is worse.
    Worse,
    /// It changed, and others took so much of the machine in one of the two runs that the change may be theirs.
    Disturbed,
    /// With so few pairs no difference would have been told from chance.
    TooFew,
    /// In B its part could not be measured.
    Failed,
    /// B has no such row.
    OnlyInA,
    /// A has no such row.
    OnlyInB,
}

impl Diff {
    /// Compares B with A.
    ///
    /// # Errors
    /// When the two did other amounts of work.
    pub fn of(a: &BenchFile, b: &BenchFile) -> Result<Self, OtherEffort> {
        let (one, other) = (a.flags.effort, b.flags.effort);
        if one != other {
            let word = |effort| format!("{effort:?}").to_lowercase();
            return Err(OtherEffort {
                one: word(one),
                other: word(other),
            });
        }
        let both: Vec<_> = a.rows.iter().map(|row| (row, same(row, &b.rows))).collect();
        let tests: Vec<_> = both.iter().map(|(row, other)| Test::of(row, (*other)?)).collect();
        let asked: Vec<_> = tests.iter().flatten().filter_map(|test| test.ranked).collect();
        let bound = bound(&asked);
        let rows = both.iter().zip(&tests).map(|((row, other), test)| match (other, test) {
            (Some(_), Some(test)) => test.row(row, bound),
            _ => missing(row, &b.failed),
        });
        let new = b.rows.iter().filter(|row| same(row, &a.rows).is_none());
        let new = new.map(|row| ComparedRow {
            b: Some(row.b.median),
            verdict: Verdict::OnlyInB,
            ..unpaired(row)
        });
        Ok(Self {
            rows: rows.chain(new).collect(),
            warnings: warnings(a, b),
        })
    }

    /// Whether anything did, or could not be measured any more.
    #[must_use]
    pub fn got_worse(&self) -> bool {
        let bad = |row: &ComparedRow| matches!(row.verdict, Verdict::Worse | Verdict::Failed);
        self.rows.iter().any(bad)
    }
}

/// What others took of the machine meanwhile.
fn others_percent(row: &Row) -> f64 {
    row.figures
        .get(others::FIGURE)
        .and_then(serde_json::Value::as_f64)
        .unwrap_or(0.0)
}

/// The same quantity in another file.
fn same<'a>(row: &Row, rows: &'a [Row]) -> Option<&'a Row> {
    rows.iter()
        .find(|it| (&it.suite, &it.part, &it.quantity) == (&row.suite, &row.part, &row.quantity))
}

/// Two rows of one quantity, and how likely chance is.
struct Test {
    measure: Measure,
    medians: [f64; 2],
    /// Whether more is better.
    rising: bool,
    ranked: Option<Ranked>,
    /// Nothing but one number, again and again.
    constant: bool,
    /// What others took of the machine, percent, in the run in which they took more.
    others: f64,
    /// What may never happen happened in so many pairs of B, and in none of A.
    broken: Option<String>,
}

impl Test {
    fn of(a: &Row, b: &Row) -> Option<Self> {
        let (measure, one, other) = match (&a.values.ratio, &b.values.ratio) {
            (Some(one), Some(other)) => (Measure::Ratio, one, other),
            _ => (Measure::Alone, &a.values.b, &b.values.b),
        };
        let median = |values: &[f64]| Spread::of(values.iter().copied()).map(|spread| spread.median);
        let happened = |values: &[f64]| values.iter().filter(|value| **value > 0.0).count();
        let broken = a.is_never() && happened(one) == 0 && happened(other) > 0;
        Some(Self {
            measure,
            medians: [median(one)?, median(other)?],
            rising: a.bound == Bound::RatioAtLeast,
            ranked: mann_whitney(one, other),
            others: others_percent(a).max(others_percent(b)),
            constant: one.iter().chain(other).all(|value| Some(value) == one.first()),
            broken: broken.then(|| {
                let (pairs, all) = (happened(other), other.len());
                format!("not 0 in {pairs} of {all} pairs, where none may be and none was")
            }),
        })
    }

    /// Whether a change may be what others made of it.
    fn is_theirs(&self, better: Option<f64>) -> bool {
        let small = better.is_some_and(|better| better.abs() < LEAST_RATIO_BESIDE_OTHERS);
        self.others > QUIET && (self.measure == Measure::Alone || small)
    }

    /// What it means, if so small a likelihood is no chance.
    fn row(&self, row: &Row, bound: f64) -> ComparedRow {
        let [one, other] = self.medians;
        let better = if self.rising {
            other / one - 1.0
        } else {
            1.0 - other / one
        };
        let better = better.is_finite().then_some(better);
        let least = match self.measure {
            Measure::Ratio => LEAST_RATIO,
            Measure::Alone => LEAST_ALONE,
        };
        let verdict = match self.ranked {
            _ if self.broken.is_some() => Verdict::Worse,
            Some(ranked) if ranked.p <= bound && better.is_none_or(|better| better.abs() >= least) => {
                match (other > one) == self.rising {
                    _ if self.is_theirs(better) => Verdict::Disturbed,
                    true => Verdict::Better,
                    false => Verdict::Worse,
                }
            }
            Some(ranked) if ranked.least_p > bound && !self.constant => Verdict::TooFew,
            _ => Verdict::Noise,
        };
        ComparedRow {
            compared: self.measure,
            unit: match self.measure {
                Measure::Ratio => "ratio".to_owned(),
                Measure::Alone => row.unit.clone(),
            },
            a: Some(one),
            b: Some(other),
            better_percent: better.map(|better| (better * 1e4).round() / 1e2),
            p: self.ranked.map(|ranked| ranked.p),
            verdict,
            note: match verdict {
                Verdict::Disturbed => Some(format!(
                    "others took {:.0} % of the machine in one of the runs",
                    self.others
                )),
                _ => self.broken.clone(),
            },
            ..unpaired(row)
        }
    }
}

/// A row that the other file lacks, and whether its part failed there.
fn missing(row: &Row, failed: &[FailedPart]) -> ComparedRow {
    let of_it = |it: &&FailedPart| it.suite == row.suite && it.part.as_ref().is_none_or(|part| *part == row.part);
    let failure = failed.iter().find(of_it);
    ComparedRow {
        a: Some(row.b.median),
        verdict: match failure {
            Some(_) => Verdict::Failed,
            None => Verdict::OnlyInA,
        },
        note: failure.map(|failure| failure.error.clone()),
        ..unpaired(row)
    }
}

fn unpaired(row: &Row) -> ComparedRow {
    ComparedRow {
        suite: row.suite.clone(),
        part: row.part.clone(),
        quantity: row.quantity.clone(),
        compared: Measure::Alone,
        unit: row.unit.clone(),
        a: None,
        b: None,
        better_percent: None,
        p: None,
        verdict: Verdict::Noise,
        note: None,
    }
}

/// In what the machines differ.
fn warnings(a: &BenchFile, b: &BenchFile) -> Vec<String> {
    let (one, other) = (&a.machine, &b.machine);
    let name = |cpu: &Option<String>| cpu.clone().unwrap_or_else(|| "unknown".to_owned());
    let facts = [
        ("kernels", one.kernel.clone(), other.kernel.clone()),
        ("processors", name(&one.cpu), name(&other.cpu)),
        ("numbers of processors", one.cpus.to_string(), other.cpus.to_string()),
    ];
    let differing = facts.into_iter().filter(|(_, one, other)| one != other);
    let said = differing.map(|(what, one, other)| {
        format!("the two runs had other {what} ({one} and {other}): a change may be theirs, not obit's")
    });
    said.collect()
}

#[cfg(test)]
mod tests;
