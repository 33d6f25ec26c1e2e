//! One run: a fresh topology, fresh pods, one client under load, one scenario. What comes out has been checked to be
//! what it claims, or is an error.

mod absence;
mod cast;
mod fault;
mod monitor;
mod orchestra;
mod progress;
mod recovery;
mod refusal;
mod script;
mod verify;

use std::path::PathBuf;
use std::time::Duration;

pub use absence::{Absence, absences};
pub use fault::ClientFault;
pub use monitor::MonitorProcess;
pub use orchestra::run;
pub use progress::clear;
pub use recovery::{Recovery, recoveries};
pub use refusal::Refusal;
pub use script::Performed;
pub use verify::{Evidence, verify};

use crate::pod::Tally;
use crate::record::Course;
use crate::report::{Figures, Quantiles};

/// What all runs of an invocation have in common.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Callers.
    pub concurrency: u64,
    /// Calls each caller makes.
    pub requests: u64,
    /// Chooses the victim.
    pub seed: u64,
    /// Whether calls are marked as idempotent.
    pub idempotent: bool,
    /// When a run that has not ended is stopped.
    pub bound: Duration,
    /// The `obit` binary.
    pub monitor: PathBuf,
}

/// A run that was what it claims to be.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// The scenario's name.
    pub scenario: String,
    /// What the client is called.
    pub client: String,
    /// Calls asked for.
    pub asked: u64,
    /// What the trace says.
    pub figures: Figures,
    /// The pod that died.
    pub victim: Option<String>,
    /// Calls the victim had received when it died and never answered.
    pub in_flight_on_victim: Option<u64>,
    /// When the victim died, after the start.
    pub death_ns: Option<u64>,
    /// From the death to the victim's departure from the client's rotation.
    pub evicted_after_ns: Option<u64>,
    /// How often the client took a pod for dead that was there; `None` of clients that do not tell.
    pub wrongly_evicted: Option<u64>,
    /// Every end of what befell a pod.
    pub recoveries: Vec<Recovery>,
    /// From the kernel's events to the notices handled in the client.
    pub event_to_client: Option<Quantiles>,
    /// What the pods say of the calls.
    pub tally: Tally,
    /// Whether it was stopped at the bound.
    pub stopped: bool,
    /// How it went over time.
    pub course: Course,
}
