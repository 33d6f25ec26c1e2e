//! The stage of a bench: namespaces, the monitor that comes and goes with each pair, and what it takes meanwhile.

use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use tempfile::TempDir;

use crate::bench::talk::start;
use crate::bench::usage::{cpu_seconds, memory, other_monitors};
use crate::child::LabProcess;
use crate::clock::monotonic_ns;
use crate::net::{Host, LabId, Topology, silence_marked_traffic, stall_marked_dials};
use crate::run::MonitorProcess;

/// Where the work is done: a host that owns thousands of addresses, one whose peers leave marked dials unanswered, one from
/// which marked traffic vanishes.
#[derive(Debug)]
pub(super) struct Stage {
    topology: Topology,
    monitor: PathBuf,
}

impl Stage {
    /// Builds the namespaces. Dropping it deletes them.
    pub(super) fn build(monitor: PathBuf) -> anyhow::Result<Self> {
        let topology = Topology::build(LabId::of_this_process(), 2)?;
        topology.client.own_block()?;
        topology.pods[0].apply(stall_marked_dials())?;
        topology.pods[1].apply(silence_marked_traffic())?;
        Ok(Self { topology, monitor })
    }

    /// Where the work is done and verdicts are heard.
    pub(super) fn client(&self) -> &Host {
        &self.topology.client
    }

    /// Leaves marked dials unanswered.
    pub(super) fn stalling(&self) -> &Host {
        &self.topology.pods[0]
    }

    /// Marked traffic vanishes on its way to it.
    pub(super) fn vanishing(&self) -> &Host {
        &self.topology.pods[1]
    }

    /// Starts a role in the client's namespace; it still has to say that it is ready.
    pub(super) fn role(&self, arguments: &[&str]) -> anyhow::Result<LabProcess> {
        start(self.client(), arguments)
    }

    /// A fresh monitor, with everything it does on a node.
    pub(super) async fn monitor(&self) -> anyhow::Result<Monitor> {
        let directory = tempfile::Builder::new()
            .prefix("obit-lab-")
            .tempdir_in("/dev/shm")
            .context("/dev/shm")?;
        let process = MonitorProcess::start_on_the_node(&self.monitor, directory.path()).await?;
        Monitor::of(process, directory)
    }
}

/// A monitor of the bench.
#[derive(Debug)]
pub(super) struct Monitor {
    process: MonitorProcess,
    pid: u32,
    _directory: TempDir,
}

impl Monitor {
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

/// Refuses to go on beside another monitor: its programs cost both sides of a pair.
pub(super) fn ensure_no_other_monitor(own: Option<u32>) -> anyhow::Result<()> {
    let others = other_monitors(own);
    ensure!(
        others == 0,
        "refused: {others} more process(es) called obit run on this machine, and their programs would cost both sides of \
         each pair. Next: stop them, or wait until they end"
    );
    Ok(())
}
