//! The monitor of a bench: a process of its own, a directory that goes with it, and what it takes.

use std::path::Path;

use anyhow::Context as _;
use tempfile::TempDir;

use super::usage::{cpu_seconds, memory};
use crate::clock::monotonic_ns;
use crate::net::Host;
use crate::run::MonitorProcess;

/// A monitor of the bench.
#[derive(Debug)]
pub(super) struct Monitor {
    process: MonitorProcess,
    pid: u32,
    _directory: TempDir,
}

impl Monitor {
    /// A fresh one that sees the namespace of `client` alone.
    pub(super) async fn of_client(binary: &Path, client: &Host) -> anyhow::Result<Self> {
        let directory = directory()?;
        let process = MonitorProcess::start(binary, client, directory.path()).await?;
        Self::of(process, directory)
    }

    /// A fresh one, with everything it does on a node.
    pub(super) async fn on_the_node(binary: &Path) -> anyhow::Result<Self> {
        let directory = directory()?;
        let process = MonitorProcess::start_on_the_node(binary, directory.path()).await?;
        Self::of(process, directory)
    }

    fn of(process: MonitorProcess, directory: TempDir) -> anyhow::Result<Self> {
        let pid = process.pid().context("the monitor ended at once")?;
        Ok(Self {
            process,
            pid,
            _directory: directory,
        })
    }

    /// Its pid.
    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    /// Its socket, as an argument of a role.
    pub(super) fn socket(&self) -> String {
        self.process.socket().display().to_string()
    }

    /// Counts from here what it takes.
    pub(super) fn meter(&self) -> anyhow::Result<Meter> {
        Ok(Meter {
            pid: self.pid,
            since_ns: monotonic_ns(),
            cpu_seconds: cpu_seconds(self.pid)?,
        })
    }

    /// Ends it; one that ended by itself is an error.
    pub(super) async fn end(self) -> anyhow::Result<()> {
        self.process.end().await
    }
}

/// A directory of its own, in memory.
fn directory() -> anyhow::Result<TempDir> {
    let made = tempfile::Builder::new().prefix("obit-lab-").tempdir_in("/dev/shm");
    made.context("/dev/shm")
}

/// What a monitor had taken when a measurement began.
#[derive(Debug)]
pub(super) struct Meter {
    pid: u32,
    since_ns: u64,
    cpu_seconds: f64,
}

/// What a monitor took during a measurement.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Usage {
    /// Of one processor.
    pub(super) cpu_percent: f64,
    /// Resident at the end.
    pub(super) rss_mib: f64,
    /// Resident at most since it started.
    pub(super) peak_mib: f64,
}

impl Meter {
    /// What it took until now.
    #[expect(clippy::cast_precision_loss, reason = "times and sizes of a bench are below 2^53")]
    pub(super) fn read(&self) -> anyhow::Result<Usage> {
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        let memory = memory(self.pid)?;
        let elapsed = monotonic_ns().saturating_sub(self.since_ns) as f64 / 1e9;
        Ok(Usage {
            cpu_percent: 100.0 * (cpu_seconds(self.pid)? - self.cpu_seconds) / elapsed,
            rss_mib: mib(memory.resident),
            peak_mib: mib(memory.peak),
        })
    }
}
