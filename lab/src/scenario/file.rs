//! A scenario's file: TOML, each event with its time and its action.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use super::{Action, Event, Scenario};

/// Why a file is no scenario.
#[derive(Debug, thiserror::Error)]
#[error("{}: {fault}", path.display())]
pub struct ScenarioError {
    path: PathBuf,
    fault: Fault,
}

/// What is wrong with it.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// It cannot be read.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// It is no TOML, or says something that scenarios do not have.
    #[error("{0}")]
    Toml(#[from] toml::de::Error),
    /// Its name is taken from the file's.
    #[error("a scenario is called like its file, and this one's has no name")]
    Nameless,
    /// Events are in the order of time.
    #[error("event {0} comes before the one above it: order them by at_ms")]
    Disorder(usize),
    /// The first event is a death.
    #[error("the first event is not a death: begin with \"kill\" or \"silence\"")]
    NoDeath,
}

/// As it stands in the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    summary: String,
    #[serde(default, rename = "event")]
    events: Vec<EventText>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct EventText {
    at_ms: u32,
    action: Action,
}

/// Reads the scenario in `path`; it is called like the file.
///
/// # Errors
/// When it cannot be read, or says something that scenarios do not have: the error names the line.
pub fn load(path: &Path) -> Result<Scenario, ScenarioError> {
    let read = || {
        let name = path.file_stem().and_then(|name| name.to_str()).ok_or(Fault::Nameless)?;
        Scenario::parse(name, &std::fs::read_to_string(path)?)
    };
    read().map_err(|fault| ScenarioError {
        path: path.to_owned(),
        fault,
    })
}

impl Scenario {
    /// The scenario `name` of a file's text.
    ///
    /// # Errors
    /// When it says something that scenarios do not have.
    pub fn parse(name: &str, text: &str) -> Result<Self, Fault> {
        let Text { summary, events } = toml::from_str(text)?;
        let events: Vec<_> = events
            .into_iter()
            .map(|event| Event {
                at: Duration::from_millis(event.at_ms.into()),
                action: event.action,
            })
            .collect();
        if let Some(early) = events.windows(2).position(|pair| pair[0].at > pair[1].at) {
            return Err(Fault::Disorder(early + 2));
        }
        if events.first().is_some_and(|event| !event.action.is_death()) {
            return Err(Fault::NoDeath);
        }
        Ok(Self {
            name: name.to_owned(),
            summary,
            events,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> String {
        Scenario::parse("mine", text).unwrap_err().to_string()
    }

    #[test]
    fn what_scenarios_do_not_have_is_named_with_its_line_and_with_what_they_have() {
        let unknown = fault("summary = \"x\"\n[[event]]\nat_ms = 1\naction = \"explode\"\n");
        assert!(
            unknown.contains("line 4") && unknown.contains("`explode`") && unknown.contains("`kill`, `silence`"),
            "{unknown}"
        );
        let unknown = fault("summary = \"x\"\nspeed = 3\n");
        assert!(unknown.contains("line 2") && unknown.contains("`speed`"), "{unknown}");
        assert!(fault("[[event]]\nat_ms = 1\naction = \"kill\"\n").contains("`summary`"));
        assert!(fault("summary = \"x\"\n[[event]]\naction = \"kill\"\n").contains("`at_ms`"));
    }

    #[test]
    fn events_are_in_the_order_of_time_and_begin_with_a_death() {
        let event = |at_ms: u32, action: &str| format!("[[event]]\nat_ms = {at_ms}\naction = \"{action}\"\n");
        let text = |events: &[String]| format!("summary = \"x\"\n{}", events.concat());
        let disorder = fault(&text(&[event(5, "kill"), event(7, "silence"), event(6, "silence")]));
        assert!(disorder.contains("event 3"), "{disorder}");
        assert!(fault(&text(&[event(5, "reject-host-unreachable")])).contains("not a death"));
        assert!(Scenario::parse("mine", &text(&[event(5, "kill"), event(5, "silence")])).is_ok());
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named() {
        let error = load(Path::new("/nowhere/mine.toml")).unwrap_err().to_string();
        assert!(error.starts_with("/nowhere/mine.toml: "), "{error}");
    }
}
