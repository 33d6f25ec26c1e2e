//! The stage of a bench: namespaces, the monitor that comes and goes with each pair, and what it takes meanwhile.

use std::path::PathBuf;

use anyhow::ensure;

use crate::bench::daemon::Monitor;
use crate::bench::talk::start;
use crate::bench::usage::other_monitors;
use crate::child::LabProcess;
use crate::net::{Host, LabId, Topology, silence_marked_traffic, stall_marked_dials};

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
        topology.pods[0].apply(&stall_marked_dials())?;
        topology.pods[1].apply(&silence_marked_traffic())?;
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
        Monitor::on_the_node(&self.monitor).await
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
