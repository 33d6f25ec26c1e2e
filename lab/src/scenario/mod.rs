//! What befalls pods, the client's node or its monitor during a run: each scenario is a short list of times and actions, read from a
//! file, carried out by the orchestrator and recorded as it really happened.

mod builtin;
mod calls;
mod file;
mod timeline;

use std::fmt;
use std::time::Duration;

pub use builtin::{builtin, builtins};
pub use calls::{Calls, MESSAGES, UnknownCalls};
pub use file::{Fault, PODS, ScenarioError, load};
pub use timeline::{Chore, Step, timeline};

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// SIGKILL to the process. A pod's namespace stays: its kernel closes the connections and refuses new ones.
    Kill,
    /// SIGTERM to the pod: it listens no more, says goodbye on every connection, and ends with the last.
    Terminate,
    /// The process begins (again); a pod's network is undisturbed again, and whoever watches is told of it once it listens.
    Start,
    /// Another pod, with this number, begins where this one was, at the same address.
    Succeed(usize),
    /// Nothing goes in or out any more, and nobody is told.
    Silence,
    /// Whoever dials the pod is told that there is no such host.
    RejectHostUnreachable,
    /// Of what goes in and of what goes out so many packets in a hundred vanish.
    Lose(u8),
    /// SYNs of the client's neighbour are dropped; everybody else is served.
    DropNeighbour,
    /// Nothing befalls the network any more.
    Restore,
    /// The pod takes so long for a call from now on, milliseconds.
    Slow(u32),
    /// The pod accepts no connection any more, and has hardly room for any to wait; those it has are served.
    StopAccepting,
    /// It accepts again.
    Accept,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill => f.write_str("kill"),
            Self::Terminate => f.write_str("terminate"),
            Self::Start => f.write_str("start"),
            Self::Succeed(pod) => write!(f, "let pod-{pod} succeed"),
            Self::Silence => f.write_str("silence"),
            Self::RejectHostUnreachable => f.write_str("withdraw the route to"),
            Self::Lose(percent) => write!(f, "lose {percent} % of the packets of"),
            Self::DropNeighbour => f.write_str("drop the neighbour's SYNs to"),
            Self::Restore => f.write_str("restore"),
            Self::Slow(ms) => write!(f, "{ms} ms a call of"),
            Self::StopAccepting => f.write_str("no accepting by"),
            Self::Accept => f.write_str("accepting by"),
        }
    }
}

/// To whom it is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// The pod that the seed chose.
    Victim,
    /// The pod with this number.
    Pod(usize),
    /// The client's node.
    Client,
    /// The monitor on the client's node, where one runs.
    Monitor,
}

/// One action at a time after the workload's start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// When, after the start.
    pub at: Duration,
    /// To whom.
    pub on: Target,
    /// What.
    pub action: Action,
}

impl Event {
    /// Whether a pod answers no call any more, without a goodbye.
    #[must_use]
    pub fn is_death(&self) -> bool {
        let pod = matches!(self.on, Target::Victim | Target::Pod(_));
        pod && matches!(self.action, Action::Kill | Action::Silence)
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.on {
            Target::Victim => write!(f, "{} the victim", self.action),
            Target::Pod(pod) => write!(f, "{} pod-{pod}", self.action),
            Target::Client => write!(f, "{} the client", self.action),
            Target::Monitor => write!(f, "{} the monitor", self.action),
        }
    }
}

/// Whom a matrix measures in a scenario beside obit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum With {
    /// Every client that has a name.
    Everyone,
    /// The clients of these names.
    These(Vec<String>),
}

/// A scenario: a name and a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scenario {
    /// What it is called on the command line and in reports.
    pub name: String,
    /// What happens, in one sentence.
    pub summary: String,
    /// Pods beside those that are there from the start; their numbers follow on theirs.
    pub spares: usize,
    /// Whether somebody else on the client's node, in a network namespace of its own, dials the victim all the time.
    pub neighbour: bool,
    /// Calls each caller makes unless told otherwise: the script takes its time.
    pub requests: u64,
    /// When a client whose calls hang is stopped unless told otherwise, seconds after the start.
    pub seconds: u64,
    /// Whom a matrix measures in it beside obit, unless told otherwise.
    pub with: With,
    /// What a call is.
    pub calls: Calls,
    /// In the order of time; empty if nothing happens.
    pub events: Vec<Event>,
}

impl Scenario {
    /// What the one is called with which this one is compared: the same calls, and nothing happens.
    #[must_use]
    pub fn steady(&self) -> &'static str {
        self.calls.steady()
    }

    /// The first death of a pod.
    #[must_use]
    pub fn death(&self) -> Option<Event> {
        self.events.iter().find(|event| event.is_death()).copied()
    }

    /// When, after the start, dialling a pod may first be answered by "no route to host".
    #[must_use]
    pub fn unreachable_from(&self) -> Option<Duration> {
        self.events
            .iter()
            .find(|event| event.action == Action::RejectHostUnreachable)
            .map(|event| event.at)
    }
}
