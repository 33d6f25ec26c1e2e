//! Where and how a matrix was run: what its folder says once for all runs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// `environment.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environment {
    /// The version of this form, [`super::FORMAT`].
    pub format: u32,
    /// When the matrix was begun, RFC 3339.
    pub date: String,
    /// On which machine.
    pub machine: Machine,
    /// Of what.
    pub versions: Versions,
    /// How.
    pub flags: Flags,
}

/// The machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// The kernel's release.
    pub kernel: String,
    /// The processors' name; `null` where the kernel does not tell it.
    pub cpu: Option<String>,
    /// How many processors the lab may use.
    pub cpus: usize,
    /// Memory, bytes.
    pub memory_bytes: Option<u64>,
}

/// The versions of what was measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Versions {
    /// obit, and its lab.
    pub obit: String,
    /// Of each client its libraries'; `null` where it is not known.
    pub clients: BTreeMap<String, Option<String>>,
}

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flags {
    /// Whether the load only shows that everything works.
    pub quick: bool,
    /// How often each run is made.
    pub trials: u32,
    /// Chooses the victims; each trial's own is made of it.
    pub seed: u64,
    /// In the order in which they are run.
    pub scenarios: Vec<ScenarioFlag>,
    /// In the order in which they are measured.
    pub clients: Vec<ClientFlag>,
    /// Pods.
    pub pods: usize,
    /// Callers.
    pub concurrency: u64,
    /// Calls each caller makes; `null`: as many as each scenario takes its time for.
    pub requests: Option<u64>,
    /// When a client whose calls hang is stopped, seconds; `null`: as each scenario says.
    pub seconds: Option<u64>,
    /// Whether calls are marked as idempotent.
    pub idempotent: bool,
}

/// A scenario of the matrix.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScenarioFlag {
    /// What it is called.
    pub name: String,
    /// What happens.
    pub summary: String,
    /// The clients that are measured in it.
    pub clients: Vec<String>,
    /// The scenario it is compared with, in which nothing happens to such calls.
    pub steady: String,
}

/// A client of the matrix.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientFlag {
    /// What it is called.
    pub name: String,
    /// Its command line, if it is not the lab's own.
    pub command: Option<String>,
    /// Whether a monitor runs on its node.
    pub monitor: bool,
}

impl Environment {
    /// In what the runs of `self` and `other` would differ, in words; nothing if they may stand in one folder. The date may
    /// differ.
    #[must_use]
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let (Ok(one), Ok(two)) = (serde_json::to_value(self), serde_json::to_value(other)) else {
            return vec!["one of the two cannot be written".to_owned()];
        };
        let mut differences = Vec::new();
        for part in ["format", "machine", "versions", "flags"] {
            let (one, two) = (&one[part], &two[part]);
            match (one.as_object(), two.as_object()) {
                (Some(one), Some(two)) => {
                    let differing = one.iter().filter(|(key, value)| two.get(*key) != Some(*value));
                    differences.extend(differing.map(|(key, value)| differs(key, value, two.get(key))));
                }
                _ if one == two => {}
                _ => differences.push(differs(part, one, Some(two))),
            }
        }
        differences
    }
}

fn differs(key: &str, one: &Value, two: Option<&Value>) -> String {
    format!("{key} is {one} there and {} here", two.unwrap_or(&Value::Null))
}

#[cfg(test)]
pub(crate) fn sample_environment() -> Environment {
    Environment {
        format: super::FORMAT,
        date: "2026-11-27T18:00:00Z".to_owned(),
        machine: Machine {
            kernel: "6.18.0".to_owned(),
            cpu: Some("A processor".to_owned()),
            cpus: 2,
            memory_bytes: Some(8 << 30),
        },
        versions: Versions {
            obit: "0.1.0".to_owned(),
            clients: [("tonic".to_owned(), Some("tonic 0.14.9".to_owned()))].into(),
        },
        flags: Flags {
            quick: false,
            trials: 3,
            seed: 7,
            scenarios: [("steady", "Nothing happens"), ("kill", "A pod is killed")]
                .map(|(name, summary)| ScenarioFlag {
                    name: name.to_owned(),
                    summary: summary.to_owned(),
                    clients: vec!["obit".to_owned(), "tonic".to_owned()],
                    steady: "steady".to_owned(),
                })
                .into(),
            clients: ["obit", "tonic"]
                .map(|name| ClientFlag {
                    name: name.to_owned(),
                    command: None,
                    monitor: name == "obit",
                })
                .into(),
            pods: 5,
            concurrency: 500,
            requests: None,
            seconds: None,
            idempotent: true,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_date_is_no_difference_and_every_other_one_is_named() {
        let one = sample_environment();
        let mut two = one.clone();
        two.date = "2026-11-28T18:00:00Z".to_owned();
        assert_eq!(one.differences(&two), Vec::<String>::new());
        two.flags.trials = 5;
        two.machine.kernel = "6.1.0".to_owned();
        two.versions.clients.clear();
        let told = one.differences(&two).join("; ");
        for part in [
            "trials is 3 there and 5 here",
            "kernel is \"6.18.0\" there",
            "clients is",
        ] {
            assert!(told.contains(part), "{told}");
        }
    }
}
