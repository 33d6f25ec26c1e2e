//! A scenario's file: TOML, each event with its time and its action.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use super::{Action, Calls, Event, Scenario, Target, With, builtin};
use crate::client::Client;

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

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct EventText {
    at_ms: u32,
    action: Verb,
    #[serde(default)]
    on: On,
    pod: Option<usize>,
    percent: Option<u8>,
    call_ms: Option<u32>,
    every_ms: Option<u32>,
    times: Option<u32>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum On {
    #[default]
    Victim,
    Client,
    Monitor,
    #[serde(untagged)]
    Pod(usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Verb {
    Kill,
    Silence,
    RejectHostUnreachable,
    Terminate,
    Start,
    Succeed,
    Lose,
    DropNeighbour,
    Restore,
    Slow,
    StopAccepting,
    Accept,
}

impl Verb {
    fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Silence => "silence",
            Self::RejectHostUnreachable => "reject-host-unreachable",
            Self::Terminate => "terminate",
            Self::Start => "start",
            Self::Succeed => "succeed",
            Self::Lose => "lose",
            Self::DropNeighbour => "drop-neighbour",
            Self::Restore => "restore",
            Self::Slow => "slow",
            Self::StopAccepting => "stop-accepting",
            Self::Accept => "accept",
        }
    }
}

impl EventText {
    /// The action with what it needs and without what it does not.
    fn action(&self, text: &Text) -> Result<Action, String> {
        let Self {
            pod, percent, call_ms, ..
        } = *self;
        let action = match (self.action, pod, percent, call_ms) {
            (Verb::Kill, None, None, None) => Action::Kill,
            (Verb::Silence, None, None, None) => Action::Silence,
            (Verb::RejectHostUnreachable, None, None, None) => Action::RejectHostUnreachable,
            (Verb::Terminate, None, None, None) => Action::Terminate,
            (Verb::Start, None, None, None) => Action::Start,
            (Verb::Succeed, Some(pod), None, None) => Action::Succeed(pod),
            (Verb::Lose, None, Some(percent @ 1..=99), None) => Action::Lose(percent),
            (Verb::DropNeighbour, None, None, None) => Action::DropNeighbour,
            (Verb::Restore, None, None, None) => Action::Restore,
            (Verb::Slow, None, None, Some(ms)) => Action::Slow(ms),
            (Verb::StopAccepting, None, None, None) => Action::StopAccepting,
            (Verb::Accept, None, None, None) => Action::Accept,
            (Verb::Succeed, ..) => return Err("it needs `pod`, the number of the pod that succeeds, alone".into()),
            (Verb::Lose, ..) => return Err("it needs `percent`, 1 to 99, alone".into()),
            (Verb::Slow, ..) => return Err("it needs `call_ms` alone".into()),
            _ => return Err("it knows no `pod`, `percent` or `call_ms`".into()),
        };
        let right = match (self.on, action) {
            (On::Monitor, action) => matches!(action, Action::Kill | Action::Start),
            (On::Client, action) => matches!(action, Action::Silence | Action::Lose(_) | Action::Restore),
            (On::Victim | On::Pod(_), action) => !matches!(action, Action::Lose(_)),
        };
        if !right {
            return Err(
                "on `monitor` there are `kill` and `start`; on `client` there are `silence`, `lose` and `restore`; on pods all \
                 but `lose`"
                    .into(),
            );
        }
        if action == Action::DropNeighbour && !text.neighbour.unwrap_or_default() {
            return Err("there is nobody: say `neighbour = true`".into());
        }
        Ok(action)
    }

    /// When it happens.
    fn times(&self) -> Result<impl Iterator<Item = u32>, String> {
        let (every, times) = match (self.every_ms, self.times) {
            (None, None) => (0, 1),
            (Some(every), Some(times @ 1..=1_000)) => (every, times),
            _ => return Err("`every_ms` and `times` (1 to 1000) go together".into()),
        };
        let at = self.at_ms;
        Ok((0..times).map(move |time| at.saturating_add(every.saturating_mul(time))))
    }
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
            let action = event.action(&text).map_err(fault)?;
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

    fn event(rest: &str) -> String {
        format!("summary = \"x\"\nspares = 1\n[[event]]\nat_ms = 5\n{rest}\n")
    }

    #[test]
    fn events_are_in_the_order_of_time() {
        let event = |at_ms: u32, action: &str| format!("[[event]]\nat_ms = {at_ms}\naction = \"{action}\"\n");
        let text = |events: &[String]| format!("summary = \"x\"\n{}", events.concat());
        let disorder = fault(&text(&[event(5, "kill"), event(7, "silence"), event(6, "silence")]));
        assert!(disorder.contains("event 3"), "{disorder}");
        assert!(Scenario::parse("mine", &text(&[event(5, "kill"), event(5, "silence")])).is_ok());
    }

    #[test]
    fn an_action_has_what_it_needs_and_befalls_whom_it_can() {
        for (text, told) in [
            ("action = \"lose\"\non = \"client\"", "`percent`"),
            ("action = \"lose\"\non = \"client\"\npercent = 0", "1 to 99"),
            ("action = \"lose\"\npercent = 3", "on `client` there are"),
            ("action = \"terminate\"\non = \"client\"", "on `client` there are"),
            ("action = \"silence\"\non = \"monitor\"", "on `monitor` there are"),
            ("action = \"slow\"", "`call_ms`"),
            ("action = \"kill\"\npercent = 3", "no `pod`"),
            ("action = \"succeed\"\npod = 6", "no pod 6"),
            ("action = \"kill\"\non = 6", "no pod 6"),
            ("action = \"kill\"\nevery_ms = 3", "go together"),
            ("action = \"drop-neighbour\"", "`neighbour = true`"),
        ] {
            let fault = fault(&event(text));
            assert!(fault.starts_with("event 1 (`") && fault.contains(told), "{fault}");
        }
        assert!(fault(&event("action = \"kill\"\non = \"clint\"")).contains("line 6"));
        assert!(fault("summary = \"x\"\nspares = 101\n").contains("at most 100"));
        assert!(fault("summary = \"x\"\nseconds = 0\n").contains("1 to 3600"));
        assert!(fault("summary = \"x\"\nwith = [\"tonic\", \"toni\"]\n").contains("`with`: the clients are obit"));
        assert!(fault("summary = \"x\"\nwith = \"all\"\n").contains("`with` is \"everyone\" or a list"));
    }

    #[test]
    fn an_event_that_repeats_is_among_the_others_in_the_order_of_time() {
        let text = "summary = \"x\"\n\
            [[event]]\nat_ms = 10\naction = \"kill\"\nevery_ms = 10\ntimes = 2\n\
            [[event]]\nat_ms = 15\naction = \"start\"\non = 4\nevery_ms = 10\ntimes = 2\n";
        let scenario = Scenario::parse("mine", text).unwrap();
        let events: Vec<_> = scenario
            .events
            .iter()
            .map(|event| (event.at.as_millis(), event.on, event.action))
            .collect();
        assert_eq!(
            events,
            [
                (10, Target::Victim, Action::Kill),
                (15, Target::Pod(4), Action::Start),
                (20, Target::Victim, Action::Kill),
                (25, Target::Pod(4), Action::Start),
            ]
        );
        assert_eq!(scenario.requests, 200);
    }

    #[test]
    fn a_variant_has_the_script_of_the_other_and_its_own_calls() {
        let scale = builtin("scale").unwrap();
        let variant = Scenario::parse("mine", "summary = \"x\"\nlike = \"scale\"\ncalls = \"bidi\"\n").unwrap();
        assert_eq!((variant.name.as_str(), variant.calls), ("mine", Calls::Bidi));
        assert_eq!(
            (&variant.events, variant.spares, variant.requests),
            (&scale.events, scale.spares, scale.requests)
        );
        let fewer = Scenario::parse("mine", "summary = \"x\"\nlike = \"kill-bidi\"\nrequests = 7\n").unwrap();
        assert_eq!((fewer.calls, fewer.requests), (Calls::Bidi, 7));
    }

    #[test]
    fn a_variant_of_nothing_and_one_that_has_more_than_the_other_are_told_so() {
        assert!(fault("summary = \"x\"\nlike = \"explode\"\n").contains("\"explode\" is none"));
        for more in [
            "spares = 1",
            "neighbour = true",
            "[[event]]\nat_ms = 1\naction = \"kill\"",
        ] {
            let told = fault(&format!("summary = \"x\"\nlike = \"kill\"\n{more}\n"));
            assert!(told.contains("no `spares`"), "{told}");
        }
        let unknown = fault("summary = \"x\"\ncalls = \"duplex\"\n");
        assert!(
            unknown.contains("line 2") && unknown.contains("`client-stream`"),
            "{unknown}"
        );
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named() {
        let error = load(Path::new("/nowhere/mine.toml")).unwrap_err().to_string();
        assert!(error.starts_with("/nowhere/mine.toml: "), "{error}");
    }
}
