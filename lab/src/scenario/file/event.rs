//! An event as it stands in the file: what each action needs, whom it may befall, and how often.

use serde::Deserialize;

use super::Action;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EventText {
    pub(super) at_ms: u32,
    pub(super) action: Verb,
    #[serde(default)]
    pub(super) on: On,
    pod: Option<usize>,
    percent: Option<u8>,
    call_ms: Option<u32>,
    every_ms: Option<u32>,
    times: Option<u32>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum On {
    #[default]
    Victim,
    Client,
    Monitor,
    #[serde(untagged)]
    Pod(usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Verb {
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
    pub(super) fn name(self) -> &'static str {
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
    /// The action with what it needs and without what it does not, in a scenario with a `neighbour` or without.
    pub(super) fn action(&self, neighbour: bool) -> Result<Action, String> {
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
        if action == Action::DropNeighbour && !neighbour {
            return Err("there is nobody: say `neighbour = true`".into());
        }
        Ok(action)
    }

    /// When it happens.
    pub(super) fn times(&self) -> Result<impl Iterator<Item = u32>, String> {
        let (every, times) = match (self.every_ms, self.times) {
            (None, None) => (0, 1),
            (Some(every), Some(times @ 1..=1_000)) => (every, times),
            _ => return Err("`every_ms` and `times` (1 to 1000) go together".into()),
        };
        let at = self.at_ms;
        Ok((0..times).map(move |time| at.saturating_add(every.saturating_mul(time))))
    }
}
