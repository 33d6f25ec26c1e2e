//! What the doctor found, as people and as programs read it. Pure.

use std::fmt;

use serde::Serialize;

use crate::kernel;

/// Everything the doctor found. As JSON it keeps its names; new ones may be added.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The whole of it in a word.
    pub verdict: Verdict,
    /// Of this binary.
    pub version: &'static str,
    /// Its release.
    pub kernel: String,
    /// Of the machine.
    pub architecture: String,
    /// Whom the doctor ran as.
    pub user: u32,
    /// One by one, with the next steps.
    pub checks: Vec<Check>,
    /// The capabilities that were in effect.
    pub capabilities: Vec<String>,
    /// The members of the kernel's structures that the programs read.
    pub members: Vec<Member>,
    /// The places in the kernel that the programs attach to.
    pub hooks: Vec<Hook>,
    /// What a monitor can see.
    pub signals: Vec<Signal>,
}

/// What became of it all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// A monitor has all it wants here.
    Works,
    /// A monitor works here, with something less.
    WorksInPart,
    /// A monitor cannot start here, like this.
    CannotWork,
}

/// How one thing stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// As it should be.
    Fine,
    /// Not tried, because something else is missing.
    Untried,
    /// Something is less than it could be.
    Limited,
    /// Nothing works like this.
    Missing,
}

/// One thing the doctor looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What.
    pub subject: &'static str,
    /// How it stands.
    pub state: State,
    /// What was found.
    pub found: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A member of one of the kernel's structures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Member {
    /// Its path, the structure first.
    pub path: String,
    /// In bytes; none if the kernel has no such member.
    pub offset: Option<u32>,
    /// What does not work without it.
    pub needed_for: String,
}

/// A place in the kernel that the programs attach to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Hook {
    /// Its name in the kernel.
    pub name: &'static str,
    /// Whether nothing works without it.
    pub needed: bool,
    /// Whether the kernel describes it.
    pub described: bool,
    /// Whether it could be attached to; none if that was not tried.
    pub attached: Option<bool>,
    /// What the kernel said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// One thing a monitor can see.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Signal {
    /// As in `--without`.
    pub name: &'static str,
    /// Whether a monitor sees it here; of a hook that was not tried the best is assumed.
    pub available: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

impl Verdict {
    /// The worst of all.
    pub(super) fn of(checks: &[Check]) -> Self {
        match checks.iter().map(|check| check.state).max_by_key(|state| *state as u8) {
            Some(State::Missing) => Self::CannotWork,
            // What keeps something from being tried is missing, and says so itself.
            Some(State::Limited | State::Untried) => Self::WorksInPart,
            Some(State::Fine) | None => Self::Works,
        }
    }

    /// What the process ends with.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Works => 0,
            Self::WorksInPart => 1,
            Self::CannotWork => 2,
        }
    }
}

impl Check {
    pub(super) fn fine(subject: &'static str, found: impl Into<String>) -> Self {
        Self {
            subject,
            state: State::Fine,
            found: found.into(),
            next: None,
        }
    }

    pub(super) fn untried(subject: &'static str, found: impl Into<String>) -> Self {
        Self {
            state: State::Untried,
            ..Self::fine(subject, found)
        }
    }

    pub(super) fn limited(subject: &'static str, found: impl Into<String>, next: impl Into<String>) -> Self {
        Self {
            state: State::Limited,
            next: Some(next.into()),
            ..Self::fine(subject, found)
        }
    }

    pub(super) fn missing(subject: &'static str, found: impl Into<String>, next: impl Into<String>) -> Self {
        Self {
            state: State::Missing,
            ..Self::limited(subject, found, next)
        }
    }
}

impl From<kernel::Member> for Member {
    fn from(member: kernel::Member) -> Self {
        Self {
            path: member.path,
            offset: member.offset,
            needed_for: member.needed_for,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            version,
            kernel,
            architecture,
            user,
            ..
        } = self;
        writeln!(f, "obit {version} on Linux {kernel} {architecture}, as user {user}\n")?;
        self.checks.iter().try_for_each(|check| writeln!(f, "{check}"))?;
        write!(f, "\n{}", self.verdict)
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::Fine => "fine",
            State::Untried => "untried",
            State::Limited => "LIMITED",
            State::Missing => "MISSING",
        };
        write!(f, "{state:<8} {:<14} {}", self.subject, self.found)?;
        self.next
            .iter()
            .try_for_each(|next| write!(f, "\n{:<8} {:<14} next: {next}", "", ""))
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Works => "A monitor works here.",
            Self::WorksInPart => "A monitor works here in part: see what is LIMITED.",
            Self::CannotWork => "A monitor cannot work here like this: see what is MISSING.",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_check_is_the_verdict() {
        let fine = Check::fine("a", "is there");
        let untried = Check::untried("b", "was not tried");
        let limited = Check::limited("c", "is small", "make it larger");
        let missing = Check::missing("d", "is not there", "bring it");
        for (checks, code) in [
            (vec![], 0),
            (vec![fine.clone()], 0),
            (vec![untried.clone(), fine.clone()], 1),
            (vec![limited.clone(), fine.clone(), untried.clone()], 1),
            (vec![fine, missing, limited, untried], 2),
        ] {
            assert_eq!(Verdict::of(&checks).exit_code(), code, "{checks:?}");
        }
    }

    #[test]
    fn a_next_step_stands_below_what_it_is_for() {
        let check = Check::missing("socket", "no folder", "make one");
        assert_eq!(
            check.to_string(),
            "MISSING  socket         no folder\n                        next: make one"
        );
    }
}
