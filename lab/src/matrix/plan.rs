//! The runs of a matrix in their order, and how long the rest of them will take. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::record::Flags;

/// One run of a matrix.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Step {
    /// Its place among all runs, from 1.
    pub number: usize,
    /// Which trial, from 1.
    pub trial: u32,
    /// The client's name.
    pub client: String,
    /// The scenario's name.
    pub scenario: String,
    /// The scenario it is compared with.
    pub steady: String,
    /// Chooses the victim: another one in each trial, the same for all that are compared.
    pub seed: u64,
}

/// After so many scenarios a client's steady run is made again: a machine changes within minutes.
const STEADY_AGAIN: usize = 8;

/// Every run that `flags` ask for. Trials are the outer loop, so that a machine that slows down or speeds up does so for all
/// clients; before a client's scenarios of one kind of calls comes the steady run of that kind, with which all of them are compared.
#[must_use]
pub fn plan(flags: &Flags) -> Vec<Step> {
    let mut steps = Vec::new();
    for trial in 1..=flags.trials {
        for client in &flags.clients {
            for (steady, scenario) in runs(flags, &client.name) {
                steps.push(Step {
                    number: steps.len() + 1,
                    trial,
                    client: client.name.clone(),
                    scenario: scenario.to_owned(),
                    steady: steady.to_owned(),
                    seed: flags.seed.wrapping_add(trial.into()),
                });
            }
        }
    }
    steps
}

/// The scenarios of `client` in the order of its runs, each with the one it is compared with; none if it is measured in none.
fn runs<'a>(flags: &'a Flags, client: &str) -> Vec<(&'a str, &'a str)> {
    let mut kinds: Vec<(&str, Vec<&str>)> = Vec::new();
    for scenario in flags
        .scenarios
        .iter()
        .filter(|it| it.clients.iter().any(|it| it == client))
    {
        let known = kinds.iter().position(|(steady, _)| *steady == scenario.steady);
        let place = known.unwrap_or_else(|| {
            kinds.push((&scenario.steady, Vec::new()));
            kinds.len() - 1
        });
        if scenario.name != scenario.steady {
            kinds[place].1.push(&scenario.name);
        }
    }
    let mut runs = Vec::new();
    for (steady, harmful) in &kinds {
        // One where nothing else is measured.
        runs.push((*steady, *steady));
        for (place, scenario) in harmful.iter().enumerate() {
            if place > 0 && place % STEADY_AGAIN == 0 {
                runs.push((steady, steady));
            }
            runs.push((steady, scenario));
        }
    }
    runs
}

impl Step {
    /// The name of its document's file: the place makes it one of its kind, whatever the names hold.
    #[must_use]
    pub fn file(&self) -> String {
        let name = |text: &str| -> String {
            let plain = |letter: char| if letter.is_ascii_alphanumeric() { letter } else { '-' };
            text.chars().take(40).map(plain).collect()
        };
        format!(
            "{:04}-trial{}-{}-{}.json",
            self.number,
            self.trial,
            name(&self.client),
            name(&self.scenario)
        )
    }
}

/// How long runs took, by client and scenario.
#[derive(Debug, Default)]
pub(super) struct Pace {
    took: BTreeMap<(String, String), Duration>,
}

impl Pace {
    /// A run took so long, with everything around it.
    pub(super) fn took(&mut self, step: &Step, took: Duration) {
        self.took.insert((step.client.clone(), step.scenario.clone()), took);
    }

    /// How long `steps` will take: each as long as the last of its kind, or as the mean of all kinds where none was made yet.
    /// `None` before the first run.
    #[must_use]
    pub(super) fn left<'a>(&self, steps: impl IntoIterator<Item = &'a Step>) -> Option<Duration> {
        let kinds = u32::try_from(self.took.len()).ok().filter(|kinds| *kinds > 0)?;
        let mean = self.took.values().sum::<Duration>() / kinds;
        let one = |step: &Step| self.took.get(&(step.client.clone(), step.scenario.clone())).copied();
        Some(steps.into_iter().map(|step| one(step).unwrap_or(mean)).sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{ScenarioFlag, sample_environment};

    fn planned(scenarios: &[&str]) -> Vec<Step> {
        let mut flags = sample_environment().flags;
        flags.trials = 2;
        flags.scenarios = scenarios
            .iter()
            .map(|name| ScenarioFlag {
                name: (*name).to_owned(),
                summary: String::new(),
                clients: vec!["obit".to_owned(), "tonic".to_owned()],
                steady: if name.ends_with("-bidi") {
                    "steady-bidi"
                } else {
                    "steady"
                }
                .to_owned(),
            })
            .collect();
        plan(&flags)
    }

    fn told(steps: &[Step]) -> Vec<String> {
        let told = |step: &Step| format!("{} {} {}", step.trial, step.client, step.scenario);
        steps.iter().map(told).collect()
    }

    #[test]
    fn trials_are_the_outer_loop_and_a_client_s_scenarios_follow_on_its_steady_run() {
        let steps = planned(&["steady", "kill", "blackhole"]);
        let told = told(&steps);
        assert_eq!(
            told[..6],
            [
                "1 obit steady",
                "1 obit kill",
                "1 obit blackhole",
                "1 tonic steady",
                "1 tonic kill",
                "1 tonic blackhole",
            ]
        );
        assert_eq!((told.len(), told[6].as_str()), (12, "2 obit steady"));
        assert_eq!(
            steps,
            planned(&["kill", "blackhole"]),
            "nothing is compared without steady runs"
        );
    }

    #[test]
    fn a_client_with_many_scenarios_has_more_steady_runs() {
        let names: Vec<_> = (0..=STEADY_AGAIN).map(|number| format!("scenario {number}")).collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        let steps = planned(&names);
        let steady: Vec<_> = (0..12).filter(|place| steps[*place].scenario == "steady").collect();
        assert_eq!(steady, [0, 9, 11]);
        assert_eq!(
            (steps[10].client.as_str(), steps[11].client.as_str()),
            ("obit", "tonic")
        );
    }

    #[test]
    fn a_client_runs_only_the_scenarios_it_is_measured_in() {
        let mut flags = sample_environment().flags;
        flags.trials = 1;
        flags.scenarios[1].clients = vec!["obit".to_owned()];
        assert_eq!(told(&plan(&flags)), ["1 obit steady", "1 obit kill", "1 tonic steady"]);
        flags.scenarios[0].clients.clear();
        assert_eq!(told(&plan(&flags)), ["1 obit steady", "1 obit kill"]);
    }

    #[test]
    fn clients_are_compared_with_the_same_victim_and_trials_have_others() {
        let steps = planned(&["kill"]);
        let seed = |trial: u32| -> Vec<_> {
            let of_trial = steps.iter().filter(|step| step.trial == trial);
            of_trial.map(|step| step.seed).collect()
        };
        assert_eq!(seed(1), [8; 4]);
        assert_eq!(seed(2), [9; 4]);
    }

    #[test]
    fn scenarios_follow_on_the_steady_run_of_their_own_kind_of_calls() {
        let steps = planned(&["kill", "kill-bidi", "blackhole", "blackhole-bidi"]);
        let told: Vec<_> = steps
            .iter()
            .map(|step| (step.scenario.as_str(), step.steady.as_str()))
            .collect();
        assert_eq!(
            told[..6],
            [
                ("steady", "steady"),
                ("kill", "steady"),
                ("blackhole", "steady"),
                ("steady-bidi", "steady-bidi"),
                ("kill-bidi", "steady-bidi"),
                ("blackhole-bidi", "steady-bidi"),
            ]
        );
        assert_eq!(steps[6].client, "tonic");
    }

    #[test]
    fn steady_alone_is_run_once_a_trial() {
        assert_eq!(planned(&["steady"]).len(), 4);
    }

    #[test]
    fn no_two_runs_share_a_file_and_no_name_leaves_the_folder() {
        let mut steps = planned(&["kill", "../../x", "a/b", "a b"]);
        let files: std::collections::BTreeSet<_> = steps.iter().map(Step::file).collect();
        assert_eq!(files.len(), steps.len());
        assert!(
            files
                .iter()
                .all(|file| !file.contains(['/', ' ']) && !file.starts_with('.')),
            "{files:?}"
        );
        steps[0].client = "ü\u{0}".repeat(500);
        assert!(steps[0].file().len() < 100);
    }

    #[test]
    fn the_rest_takes_as_long_as_the_last_of_each_kind_or_as_the_mean() {
        let steps = planned(&["kill"]);
        let mut pace = Pace::default();
        assert_eq!(pace.left(&steps), None);
        pace.took(&steps[0], Duration::from_secs(100));
        pace.took(&steps[0], Duration::from_secs(4));
        pace.took(&steps[1], Duration::from_secs(8));
        // obit's kill again, and the first of tonic's runs.
        assert_eq!(pace.left(&steps[1..3]), Some(Duration::from_secs(8 + 6)));
        assert_eq!(pace.left(&[]), Some(Duration::ZERO));
    }
}
