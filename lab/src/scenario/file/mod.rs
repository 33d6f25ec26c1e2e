//! A scenario's file: TOML, each event with its time and its action.

mod event;

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use super::{Action, Calls, Event, Scenario, Target, With, builtin};
use crate::client::Client;
use event::{EventText, On};

/// Pods of every run, as in the article.
pub const PODS: usize = 5;

/// Calls of each caller: two thirds of the article's, so that the whole matrix takes no more than an hour.
const REQUESTS: u64 = 200;

/// Longer than a dial of Go's or the article's waits.
const SECONDS: u64 = 60;

/// Pods that may join.
const SPARES_MAX: usize = 100;

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
    /// There is no room for so many.
    #[error("`spares` is at most {SPARES_MAX}")]
    Spares,
    /// Nobody waits that long, or not at all.
    #[error("`seconds` is 1 to 3600")]
    Seconds,
    /// It names a client that there is not.
    #[error("`with`: {0}")]
    With(String),
    /// `like` names none that comes with the lab.
    #[error("`like` is the name of a scenario that comes with the lab, and {0:?} is none")]
    Unlike(String),
    /// `like` brings what stands beside it as well.
    #[error("with `like` there are no `spares`, no `neighbour` and no events: the other scenario's are taken")]
    Doubled,
    /// Something is missing, or nothing this action knows.
    #[error("event {number} (`{action}`): {fault}")]
    Event {
        /// The event, counted from 1.
        number: usize,
        /// Its action.
        action: &'static str,
        /// What is wrong.
        fault: String,
    },
}

/// `"everyone"` or names.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "`with` is \"everyone\" or a list of clients' names")]
enum WithText {
    Everyone(Everyone),
    These(Vec<String>),
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Everyone {
    Everyone,
}

impl Default for WithText {
    fn default() -> Self {
        Self::These(Vec::new())
    }
}

impl WithText {
    fn clients(self) -> Result<With, Fault> {
        match self {
            Self::Everyone(Everyone::Everyone) => Ok(With::Everyone),
            Self::These(names) => match names.iter().find_map(|name| Client::named(name).err()) {
                None => Ok(With::These(names)),
                Some(fault) => Err(Fault::With(fault)),
            },
        }
    }
}

/// As it stands in the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    summary: String,
    like: Option<String>,
    calls: Option<Calls>,
    spares: Option<usize>,
    neighbour: Option<bool>,
    requests: Option<u64>,
    seconds: Option<u64>,
    #[serde(default)]
    with: WithText,
    #[serde(default, rename = "event")]
    events: Vec<EventText>,
}

impl Text {
    /// The scenario `like`, with what this one says otherwise.
    fn variant(self, name: &str, like: &str) -> Result<Scenario, Fault> {
        if self.spares.is_some() || self.neighbour.is_some() || !self.events.is_empty() {
            return Err(Fault::Doubled);
        }
        // Its text: all scenarios together are known only once each of them is read.
        let original = builtin::text(like).ok_or_else(|| Fault::Unlike(like.to_owned()))?;
        let original = Scenario::parse(like, original)?;
        Ok(Scenario {
            name: name.to_owned(),
            summary: self.summary,
            requests: self.requests.unwrap_or(original.requests),
            seconds: self.seconds.unwrap_or(original.seconds),
            with: self.with.clients()?,
            calls: self.calls.unwrap_or(original.calls),
            ..original
        })
    }
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
        let mut text: Text = toml::from_str(text)?;
        if text.seconds.is_some_and(|it| !(1..=3_600).contains(&it)) {
            return Err(Fault::Seconds);
        }
        if let Some(like) = text.like.take() {
            return text.variant(name, &like);
        }
        if let Some(early) = text.events.windows(2).position(|pair| pair[0].at_ms > pair[1].at_ms) {
            return Err(Fault::Disorder(early + 2));
        }
        let spares = text.spares.unwrap_or_default();
        if spares > SPARES_MAX {
            return Err(Fault::Spares);
        }
        let mut events = Vec::new();
        for (event, number) in text.events.iter().zip(1..) {
            let fault = |fault| Fault::Event {
                number,
                action: event.action.name(),
                fault,
            };
            let action = event.action(text.neighbour.unwrap_or_default()).map_err(fault)?;
            let pods = PODS + spares;
            if let (On::Pod(pod), _) | (_, Action::Succeed(pod)) = (event.on, action)
                && pod >= pods
            {
                return Err(fault(format!(
                    "there is no pod {pod}: {PODS} are there at the start, and `spares` more"
                )));
            }
            let on = match event.on {
                On::Victim => Target::Victim,
                On::Client => Target::Client,
                On::Monitor => Target::Monitor,
                On::Pod(pod) => Target::Pod(pod),
            };
            events.extend(event.times().map_err(fault)?.map(|at_ms| Event {
                at: Duration::from_millis(at_ms.into()),
                on,
                action,
            }));
        }
        // Those that repeat are between the others.
        events.sort_by_key(|event| event.at);
        Ok(Self {
            name: name.to_owned(),
            summary: text.summary,
            spares,
            neighbour: text.neighbour.unwrap_or_default(),
            requests: text.requests.unwrap_or(REQUESTS),
            seconds: text.seconds.unwrap_or(SECONDS),
            with: text.with.clients()?,
            calls: text.calls.unwrap_or_default(),
            events,
        })
    }
}

#[cfg(test)]
mod tests;
