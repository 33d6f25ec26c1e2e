//! The application on the stage: five servers, and a caller with each client, all on one node.

mod asker;
mod pods;
mod settle;

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::clock;
use crate::interrupt;
use crate::kubectl::Kubectl;
use crate::saw::{self, Line, Saw, Second};
use crate::stage::Stage;

use super::monitor;
pub(super) use asker::Asker;
pub(super) use pods::Pod;

/// Its namespace.
pub(super) const NAMESPACE: &str = "obit-e2e";

/// How many servers there are while no case wants it otherwise.
pub(super) const SERVERS: usize = 5;

/// No call of obit's may take longer, milliseconds: what issue and design promise for a death.
pub(super) const SLOWEST_MS: f64 = 1_000.0;

/// How long a rollout of the application may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// How much more of a log is asked for than is looked for, seconds.
const LOG_MARGIN: u64 = 60;

/// Now, as callers write it: milliseconds since 1970.
pub(super) fn now_ms() -> u64 {
    clock::realtime_ns() / 1_000_000
}

/// A kind of caller: what `--client` is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Caller {
    Obit,
    ObitDns,
    Tonic,
}

impl Caller {
    pub(super) const ALL: [Self; 3] = [Self::Obit, Self::ObitDns, Self::Tonic];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Obit => "obit",
            Self::ObitDns => "obit-dns",
            Self::Tonic => "tonic",
        }
    }
}

/// The application, running and undisturbed when it was made.
pub(super) struct App<'a> {
    stage: &'a Stage,
    /// The node of the callers.
    pub(super) home: String,
}

impl<'a> App<'a> {
    /// Installs the monitor and the application where they are not, and waits until nothing is left of an earlier case.
    pub(super) fn ready(stage: &'a Stage) -> Result<Self> {
        monitor::ensure(stage)?;
        Self::beside(stage)
    }

    /// The same with whatever monitor there is.
    pub(super) fn beside(stage: &'a Stage) -> Result<Self> {
        let home = stage.nodes()?.into_iter().min().context("a cluster without nodes")?;
        let app = Self { stage, home };
        app.kubectl().apply(&manifest(&app.home))?;
        app.rolled_out("greeter")?;
        for caller in Caller::ALL {
            app.rolled_out(&format!("caller-{}", caller.name()))?;
        }
        app.settle()?;
        Ok(app)
    }

    pub(super) fn kubectl(&self) -> &Kubectl {
        self.stage.kubectl()
    }

    /// kubectl in the application's namespace.
    pub(super) fn run(&self, arguments: &[&str]) -> Result<String> {
        self.kubectl().tool(&["-n", NAMESPACE]).args(arguments).must()
    }

    /// Waits for a deployment.
    pub(super) fn rolled_out(&self, deployment: &str) -> Result<()> {
        let what = format!("deployment/{deployment}");
        self.kubectl().rollout_status(NAMESPACE, &what, PATIENCE).map(drop)
    }

    /// Everything a caller printed since an instant, and more: kubectl counts back from when it asks, which may be late.
    pub(super) fn lines(&self, caller: Caller, since_ms: u64) -> Result<Vec<Line>> {
        let ago = now_ms().saturating_sub(since_ms) / 1_000 + LOG_MARGIN;
        let (what, since) = (
            format!("deployment/caller-{}", caller.name()),
            format!("--since={ago}s"),
        );
        let log = self.run(&["logs", &what, "-c", "call", &since])?;
        Ok(saw::lines(&log))
    }

    /// The newest seconds of a caller.
    fn newest(&self, caller: Caller, count: usize) -> Result<Vec<Second>> {
        let lines = self.lines(caller, now_ms().saturating_sub(1_000 * count as u64))?;
        let mut newest: Vec<_> = saw::seconds(&lines).rev().take(count).cloned().collect();
        newest.reverse();
        Ok(newest)
    }

    /// The servers that answered a caller in its newest seconds.
    pub(super) fn called(&self, caller: Caller) -> Result<BTreeSet<String>> {
        let newest = self.newest(caller, 2)?.into_iter();
        Ok(newest.flat_map(|second| second.pods.into_keys()).collect())
    }

    /// The server that answers tonic's calls: it has one connection.
    pub(super) fn tonics_pod(&self) -> Result<String> {
        let newest = self.newest(Caller::Tonic, 2)?;
        let pods = newest.last().and_then(|second| second.pods.keys().next().cloned());
        pods.context("nobody answers tonic's caller")
    }

    /// Waits until seconds have passed since an instant, and says what each caller saw in them.
    pub(super) fn saw(&self, from_ms: u64, seconds: u64) -> Result<Seen> {
        let to_ms = from_ms + 1_000 * seconds;
        // The last second has been printed, and written to the log.
        let left = (to_ms + 1_200).saturating_sub(now_ms());
        interrupt::pause(Duration::from_millis(left))?;
        let [obit, obit_dns, tonic] = Caller::ALL.map(|caller| self.lines(caller, from_ms));
        let lines = [obit?, obit_dns?, tonic?];
        let saw = lines.each_ref().map(|lines| Saw::between(lines, from_ms, to_ms));
        for (caller, saw) in Caller::ALL.iter().zip(&saw) {
            eprintln!("  {:8}  {saw}", caller.name());
        }
        let seconds = usize::try_from(seconds)?;
        Ok(Seen { saw, lines, seconds })
    }
}

/// What the callers saw of a case.
pub(super) struct Seen {
    saw: [Saw; 3],
    lines: [Vec<Line>; 3],
    seconds: usize,
}

impl Seen {
    /// Of obit's callers, those are held to its promise; the figures of all.
    pub(super) fn promise(&self, held: &[Caller], slowest_ms: f64) -> Result<String> {
        for caller in held {
            let saw = &self.saw[*caller as usize];
            // One line may be late on a busy machine, and one is cut by the instant.
            let least = self.seconds.saturating_sub(2);
            saw.promise(least, slowest_ms)
                .with_context(|| format!("{} ({})", caller.name(), self.figures()))?;
        }
        Ok(self.figures())
    }

    /// What each saw, in one line.
    pub(super) fn figures(&self) -> String {
        let each = Caller::ALL.iter().zip(&self.saw);
        let each: Vec<_> = each.map(|(caller, saw)| format!("{}: {saw}", caller.name())).collect();
        each.join(" | ")
    }

    /// What one printed.
    pub(super) fn lines(&self, caller: Caller) -> &[Line] {
        &self.lines[caller as usize]
    }
}

/// Everything but the monitor, the callers on that node.
fn manifest(node: &str) -> String {
    let mut manifest = include_str!("app.yaml").to_owned();
    for caller in Caller::ALL {
        manifest += &include_str!("caller.yaml")
            .replace("CLIENT", caller.name())
            .replace("NODE", node);
    }
    manifest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifest_has_a_caller_of_each_kind() {
        let manifest = manifest("node1");
        for caller in Caller::ALL {
            assert!(manifest.contains(&format!("{{name: caller-{}, namespace", caller.name())));
        }
        assert!(!manifest.contains("CLIENT") && !manifest.contains("NODE}"));
        assert!(
            manifest.contains(&format!("replicas: {SERVERS}")) && manifest.contains(&format!("{{name: {NAMESPACE}}}"))
        );
    }
}
