//! Tells an operator whether a monitor can work on this machine, and what to do where it cannot. Stands before the path: it
//! looks at everything the path needs and runs none of it.
//!
//! What takes privileges is tried in a process of its own ([`trial`]), which ends with whatever it has attached: should a
//! kernel stop it, nothing is left behind and the rest is told all the same.

mod checks;
mod folder;
mod report;
pub mod trial;

use std::path::Path;

use caps::CapSet;

pub use report::{Check, Hook, Member, Report, Signal, State, Verdict};
use trial::Trial;

use crate::kernel;
use crate::priority;

/// Looks at everything; `socket` is where the monitor would listen, `trial` what came of trying, or why it was not tried.
#[must_use]
pub fn examine(socket: &Path, trial: impl FnOnce() -> Result<Trial, String>) -> Report {
    let found = kernel::inspect();
    let ready = found.programs && found.lacks.is_empty() && found.members.is_ok();
    let trial = ready.then(trial);
    let system = rustix::system::uname();
    let mut held: Vec<_> = caps::read(None, CapSet::Effective)
        .unwrap_or_default()
        .iter()
        .map(ToString::to_string)
        .collect();
    held.sort_unstable();
    let hooks = checks::hooks(&found.hooks, trial.as_ref());
    let signals = checks::signals(&found, &hooks);
    let mut checks = vec![checks::programs(found.programs)];
    checks.extend(checks::types(&found));
    checks.push(checks::capabilities(&found.lacks));
    checks.push(checks::of_hooks(&hooks, trial.as_ref()));
    checks.push(checks::of_signals(&signals, trial.as_ref()));
    checks.extend(checks::tried(trial.as_ref()));
    checks.push(checks::scheduling(priority::on_trial()));
    checks.push(folder::check(socket));
    Report {
        verdict: Verdict::of(&checks),
        version: env!("CARGO_PKG_VERSION"),
        kernel: system.release().to_string_lossy().into_owned(),
        architecture: system.machine().to_string_lossy().into_owned(),
        user: rustix::process::geteuid().as_raw(),
        checks,
        capabilities: held,
        members: found
            .members
            .map(|all| all.into_iter().map(Member::from).collect())
            .unwrap_or_default(),
        hooks,
        signals,
    }
}
