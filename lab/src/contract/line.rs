//! What a client says: lines of JSON on its standard output, told apart by their `type`.

use serde::{Deserialize, Serialize};

use crate::workload::{Told, Transition};

/// A line. Times are `CLOCK_MONOTONIC` nanoseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Line {
    /// Every pod was called and the connections are open. The client now waits for the line `go` on its standard input.
    Ready,
    /// In place of `ready`: it cannot do what it was asked for, and ends.
    Unable {
        /// What it does not do: "does not do streaming calls".
        why: String,
    },
    /// The first call is about to be made.
    Started {
        /// Now.
        at_ns: u64,
    },
    /// A call ended, or did not. May come at any time after it ended, in any order.
    Call(CallLine),
    /// An endpoint entered or left the client's rotation, of clients that know.
    Moved(Transition),
    /// A notice of obit's monitor, of clients that hear them.
    Told(Told),
    /// Nothing follows.
    Done {
        /// When the last call had ended, or when the client stopped.
        at_ns: u64,
        /// Whether it stopped because its time was over.
        #[serde(default)]
        stopped: bool,
    },
}

/// One call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallLine {
    /// Its number, which it carried to the pod: from 0 to all calls, each once.
    pub id: u64,
    /// When the caller asked.
    pub start_ns: u64,
    /// When the caller had the answer, or the failure; left out if it had neither when the client stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_ns: Option<u64>,
    /// The pod that answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}
