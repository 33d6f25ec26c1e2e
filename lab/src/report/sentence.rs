//! What the runs of a demonstration show, in one sentence made of their numbers.

use super::json::{ms, ratio};
use super::text::Compared;

/// One clause a run.
#[must_use]
pub fn sentence(runs: &[Compared]) -> String {
    let clauses: Vec<_> = runs.iter().map(clause).collect();
    match clauses.split_last() {
        None => String::new(),
        Some((only, [])) => format!("{only}."),
        Some((last, others)) => format!("{}; and {last}.", others.join("; ")),
    }
}

fn clause(Compared { run, steady_ns }: &Compared) -> String {
    let figures = &run.figures;
    let what = match run.scenario.as_str() {
        "kill" => "a killed pod",
        "blackhole" => "a pod that vanished in silence",
        "steady" => "no death",
        _ => "its scenario",
    };
    let cost = match (figures.fail, figures.hung) {
        (0, _) => "cost no call".to_owned(),
        (1, 0) => "cost 1 call".to_owned(),
        (fail, 0) => format!("cost {fail} calls"),
        (fail, hung) if fail == hung => format!("left {hung} calls hanging until they were stopped, out"),
        (fail, hung) => format!(
            "cost {} calls and left {hung} hanging until they were stopped, out",
            fail - hung
        ),
    };
    let time = steady_ns.map_or(String::new(), |steady| {
        format!(
            " ({:.2} x the time of its own steady run)",
            ratio(figures.elapsed_ns, steady)
        )
    });
    let evicted = run.evicted_after_ns.map_or(String::new(), |after| {
        format!(", evicted {:.1} ms after its death", ms(after))
    });
    format!("with {} {what} {cost} of {}{time}{evicted}", run.client, run.asked)
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn a_sentence_is_made_of_the_runs_numbers() {
        let mut clean = sample();
        (clean.figures.fail, clean.figures.hung) = (0, 0);
        let mut hanging = sample();
        (hanging.client, hanging.scenario) = ("tonic".into(), "blackhole".into());
        (hanging.figures.fail, hanging.figures.hung, hanging.evicted_after_ns) = (500, 500, None);
        let text = sentence(&[
            Compared {
                run: clean,
                steady_ns: Some(4_000_000_000),
            },
            Compared {
                run: hanging,
                steady_ns: None,
            },
        ]);
        assert_eq!(
            text,
            "with obit a killed pod cost no call of 150000 (1.05 x the time of its own steady run), evicted 0.3 ms \
             after its death; and with tonic a pod that vanished in silence left 500 calls hanging until they were stopped, out of \
             150000."
        );
    }

    #[test]
    fn nothing_run_is_nothing_said() {
        assert_eq!(sentence(&[]), "");
    }
}
