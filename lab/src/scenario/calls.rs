//! What a call of the workload is: one answer to one request, or a stream in one direction or in both.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Messages in each direction that streams. A call takes as long whatever its kind: the pod's think time is split over them.
pub const MESSAGES: u32 = 5;

/// The kind of all calls of a run.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Calls {
    /// One request, one answer.
    #[default]
    Unary,
    /// [`MESSAGES`] requests, one after the other in the call's time, and one answer in the end.
    ClientStream,
    /// One request, and [`MESSAGES`] answers, one after the other in the call's time.
    ServerStream,
    /// [`MESSAGES`] requests, each but the first sent once the answer to the one before it came.
    Bidi,
}

impl Calls {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Unary, Self::ClientStream, Self::ServerStream, Self::Bidi];

    /// What it is called in scenarios' files, and what clients are told.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Unary => "unary",
            Self::ClientStream => "client-stream",
            Self::ServerStream => "server-stream",
            Self::Bidi => "bidi",
        }
    }

    /// The scenario in which nothing happens to such calls: what others of this kind are compared with.
    #[must_use]
    pub fn steady(self) -> &'static str {
        match self {
            Self::Unary => "steady",
            Self::ClientStream => "steady-client-stream",
            Self::ServerStream => "steady-server-stream",
            Self::Bidi => "steady-bidi",
        }
    }
}

/// A kind there is none of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("calls are unary, client-stream, server-stream or bidi")]
pub struct UnknownCalls;

impl FromStr for Calls {
    type Err = UnknownCalls;

    fn from_str(name: &str) -> Result<Self, UnknownCalls> {
        let named = Self::ALL.into_iter().find(|calls| calls.name() == name);
        named.ok_or(UnknownCalls)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::builtin;

    #[test]
    fn a_kind_has_one_name_everywhere_and_a_scenario_in_which_nothing_happens() {
        for calls in Calls::ALL {
            assert_eq!(calls.name().parse(), Ok(calls));
            assert_eq!(serde_json::to_value(calls).unwrap(), calls.name());
            let steady = builtin(calls.steady()).unwrap();
            assert_eq!((steady.calls, steady.events.as_slice()), (calls, [].as_slice()));
        }
        assert_eq!("duplex".parse::<Calls>(), Err(UnknownCalls));
    }
}
