use fastrand::Rng;
use serde_json::{Map, json};

use super::super::record::tests::file;
use super::super::record::{Range, Values};
use super::*;

/// A row of these numbers; of a ratio if `rising`.
fn row(name: &str, rising: bool, values: &[f64]) -> Row {
    let spread = Spread::of(values.iter().copied()).unwrap();
    let range = Range::from(spread);
    Row {
        suite: "client".to_owned(),
        part: name.to_owned(),
        quantity: "q".to_owned(),
        unit: "ms".to_owned(),
        pairs: values.len(),
        a: rising.then_some(range),
        b: range,
        ratio: rising.then_some(range),
        target: 1.0,
        bound: if rising { Bound::RatioAtLeast } else { Bound::BAtMost },
        met: Some(true),
        note: None,
        values: Values {
            a: rising.then(|| vec![1.0; values.len()]),
            b: values.to_vec(),
            ratio: rising.then(|| values.to_vec()),
        },
        figures: Map::new(),
    }
}

fn compared(a: Row, b: Row) -> ComparedRow {
    let diff = Diff::of(&file(vec![a]), &file(vec![b])).unwrap();
    diff.rows[0].clone()
}

/// About normally distributed around 1, and never far away.
fn noisy(random: &mut Rng, noise: f64) -> f64 {
    let sum: f64 = (0..12).map(|_| random.f64()).sum();
    1.0 + noise * (sum - 6.0)
}

/// A file as a whole run leaves it: 40 rows of 7 pairs whose numbers are noise, and 12 in which nothing ever happens. The numbers
/// of one row are so many times larger.
fn simulated(random: &mut Rng, noise: f64, times: f64) -> BenchFile {
    let mut rows: Vec<_> = (0..40)
        .map(|number| {
            let times = if number == 0 { times } else { 1.0 };
            let values: Vec<_> = (0..7).map(|_| times * noisy(random, noise)).collect();
            row(&format!("noise-{number}"), number % 2 == 0, &values)
        })
        .collect();
    rows.extend((0..12).map(|number| never(&format!("never-{number}"), &[0.0; 7])));
    file(rows)
}

fn never(name: &str, values: &[f64]) -> Row {
    Row {
        target: 0.0,
        ..row(name, false, values)
    }
}

#[test]
fn fewer_than_one_file_in_twenty_raises_a_false_alarm_where_nothing_changed() {
    let mut random = Rng::with_seed(7);
    let files = 240;
    let alarms = (0..files)
        .map(|_| Diff::of(&simulated(&mut random, 0.03, 1.0), &simulated(&mut random, 0.03, 1.0)).unwrap())
        .filter(|diff| {
            diff.rows
                .iter()
                .any(|row| matches!(row.verdict, Verdict::Better | Verdict::Worse))
        })
        .count();
    assert!(alarms * 20 < files, "{alarms} of {files}");
    assert!(alarms > 0, "a bound that nothing passes finds nothing either");
}

#[test]
fn a_change_of_ten_percent_is_found_under_three_percent_of_noise() {
    let mut random = Rng::with_seed(7);
    let files = 100;
    let found = (0..files).filter(|_| {
        let (before, after) = (simulated(&mut random, 0.03, 1.0), simulated(&mut random, 0.03, 0.9));
        let diff = Diff::of(&before, &after).unwrap();
        diff.rows[0].verdict == Verdict::Worse && diff.got_worse()
    });
    let found = found.count();
    assert!(found >= 90, "{found} of {files}");
}

#[test]
fn a_run_compared_with_itself_says_that_nothing_changed() {
    let file = simulated(&mut Rng::with_seed(1), 0.03, 1.0);
    let diff = Diff::of(&file, &file).unwrap();
    assert!(diff.rows.iter().all(|row| row.verdict == Verdict::Noise), "{diff:?}");
    assert!(diff.warnings.is_empty() && !diff.got_worse());
}

#[test]
fn more_of_a_ratio_is_better_and_more_of_a_time_is_worse() {
    let low: Vec<_> = (0..7).map(|it| 1.0 + f64::from(it) * 1e-3).collect();
    let high: Vec<_> = low.iter().map(|it| it * 1.25).collect();
    let ratio = compared(row("r", true, &low), row("r", true, &high));
    assert_eq!((ratio.verdict, ratio.better_percent), (Verdict::Better, Some(25.0)));
    assert_eq!((ratio.compared, ratio.unit.as_str()), (Measure::Ratio, "ratio"));
    let time = compared(row("t", false, &low), row("t", false, &high));
    assert_eq!((time.verdict, time.better_percent), (Verdict::Worse, Some(-25.0)));
    assert_eq!((time.compared, time.unit.as_str()), (Measure::Alone, "ms"));
}

#[test]
fn a_sure_change_that_is_too_small_is_noise_and_of_few_pairs_nothing_is_said() {
    let low: Vec<_> = (0..7).map(|it| 1.0 + f64::from(it) * 1e-4).collect();
    let times = |times: f64| low.iter().map(|it| it * times).collect::<Vec<_>>();
    let ratio = |after: f64| compared(row("r", true, &low), row("r", true, &times(after))).verdict;
    assert_eq!([ratio(1.019), ratio(1.021)], [Verdict::Noise, Verdict::Better]);
    let alone = |after: f64| compared(row("r", false, &low), row("r", false, &times(after))).verdict;
    assert_eq!([alone(1.049), alone(1.051)], [Verdict::Noise, Verdict::Worse]);
    let few = compared(row("r", true, &[1.0, 1.1, 1.2]), row("r", true, &[0.1, 0.2, 0.3]));
    assert_eq!(few.verdict, Verdict::TooFew);
    assert_eq!(
        compared(row("r", true, &[1.0]), row("r", true, &[0.1])).verdict,
        Verdict::TooFew
    );
    assert_eq!(
        compared(row("r", true, &[1.0]), row("r", true, &[1.0])).verdict,
        Verdict::Noise
    );
}

#[test]
fn beside_others_a_large_change_of_a_ratio_is_told_and_none_of_what_is_measured_alone() {
    let low: Vec<_> = (0..7).map(|it| 1.0 + f64::from(it) * 1e-3).collect();
    let changed_by = |times: f64, rising, others: f64| {
        let high: Vec<_> = low.iter().map(|it| it * times).collect();
        let mut after = row("r", rising, &high);
        after.figures.insert(others::FIGURE.to_owned(), json!(others));
        compared(row("r", rising, &low), after)
    };
    let changed = |rising, others| changed_by(1.25, rising, others);
    assert_eq!(changed(true, 60.0).verdict, Verdict::Better);
    assert_eq!(changed_by(1.05, true, 60.0).verdict, Verdict::Disturbed);
    assert_eq!(changed_by(1.05, true, 9.0).verdict, Verdict::Better);
    assert_eq!(changed(false, 9.0).verdict, Verdict::Worse);
    let disturbed = changed(false, 60.0);
    assert_eq!(disturbed.verdict, Verdict::Disturbed);
    assert!(disturbed.note.is_some_and(|note| note.contains("60 %")));
}

#[test]
fn what_may_never_happen_is_worse_when_it_happens_once_also_in_few_pairs() {
    let clean = never("n", &[0.0; 7]);
    let once = never("n", &[0.0, 0.0, 4.0]);
    let row = compared(clean.clone(), once.clone());
    assert_eq!(row.verdict, Verdict::Worse);
    assert!(row.note.is_some_and(|note| note.contains("1 of 3 pairs")));
    assert_eq!(compared(clean.clone(), clean.clone()).verdict, Verdict::Noise);
    assert_ne!(
        compared(once, clean).verdict,
        Verdict::Better,
        "it may only have been lucky"
    );
}

#[test]
fn rows_of_one_file_alone_are_named_and_a_part_that_fails_now_is_told_apart() {
    let (one, two) = (row("one", true, &[1.0]), row("two", true, &[1.0]));
    let mut b = file(vec![two]);
    let verdicts = |b: &BenchFile| {
        let diff = Diff::of(&file(vec![one.clone()]), b).unwrap();
        diff.rows.iter().map(|row| row.verdict).collect::<Vec<_>>()
    };
    assert_eq!(verdicts(&b), [Verdict::OnlyInA, Verdict::OnlyInB]);
    b.failed = vec![FailedPart {
        suite: "client".to_owned(),
        part: None,
        error: "no nft".to_owned(),
    }];
    assert_eq!(verdicts(&b), [Verdict::Failed, Verdict::OnlyInB]);
    assert!(Diff::of(&file(vec![one]), &b).unwrap().got_worse());
}

#[test]
fn other_machines_are_warned_of_and_other_amounts_of_work_refused() {
    let (a, mut b) = (file(vec![]), file(vec![]));
    b.machine.kernel = "6.1.0".to_owned();
    b.machine.cpu = None;
    let warnings = Diff::of(&a, &b).unwrap().warnings.join("\n");
    assert!(warnings.contains("kernels (6.18.0 and 6.1.0)"), "{warnings}");
    assert!(warnings.contains("processors (A processor and unknown)"), "{warnings}");
    b.flags.effort = super::super::Effort::Quick;
    let error = Diff::of(&a, &b).unwrap_err().to_string();
    assert!(error.contains("full and quick"), "{error}");
}

#[test]
fn the_json_of_a_row_has_the_keys_of_the_manual() {
    let row = compared(row("r", true, &[1.0; 7]), row("r", true, &[1.0; 7]));
    let value = serde_json::to_value(row).unwrap();
    assert_eq!(
        value,
        json!({
            "suite": "client", "part": "r", "quantity": "q", "compared": "ratio", "unit": "ratio",
            "a": 1.0, "b": 1.0, "better_percent": 0.0, "p": 1.0, "verdict": "noise", "note": null,
        })
    );
}
