//! The stage of the client library's bench: namespaces for the pods and the client, servers in them, and the monitor of the
//! client's node.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::bench::daemon::Monitor;
use crate::bench::talk::{ready, start};
use crate::child::LabProcess;
use crate::net::{Host, LabId, Topology, refuse_way_to_marked_dials};
use crate::pod::PORT;

/// Pods of a service.
pub(super) const PODS: usize = 5;

/// Where the work is done: the client's host, which also owns thousands of addresses, and hosts for the pods of a service and for
/// those that replace them.
#[derive(Debug)]
pub(super) struct Stage {
    topology: Topology,
    monitor: PathBuf,
}

impl Stage {
    /// Builds the namespaces. Dropping it deletes them.
    pub(super) fn build(monitor: PathBuf) -> anyhow::Result<Self> {
        let topology = Topology::build(LabId::of_this_process(), 2 * PODS)?;
        topology.client.own_block()?;
        let stage = Self { topology, monitor };
        stage.pod(2 * PODS - 1).apply(&refuse_way_to_marked_dials())?;
        Ok(stage)
    }

    /// Where the client is.
    pub(super) fn client(&self) -> &Host {
        &self.topology.client
    }

    /// Where a pod can be, 0 to 2 · [`PODS`] − 1.
    pub(super) fn pod(&self, number: usize) -> &Host {
        &self.topology.pods[number % self.topology.pods.len()]
    }

    /// Where such a pod listens.
    pub(super) fn address(&self, number: usize) -> SocketAddr {
        SocketAddr::from((self.pod(number).address, PORT))
    }

    /// Where dials from certain ports are told that there is no way.
    pub(super) fn unreachable(&self) -> usize {
        2 * PODS - 1
    }

    /// Starts a role beside the client.
    pub(super) fn role(&self, arguments: &[&str]) -> anyhow::Result<LabProcess> {
        start(self.client(), arguments)
    }

    /// Starts pod `number`, and waits until it listens.
    pub(super) async fn serve(&self, number: usize, options: &[&str]) -> anyhow::Result<LabProcess> {
        let (host, address) = (self.pod(number), self.address(number).to_string());
        let arguments = [&["serve", "--name", &host.role, "--listen", &address], options].concat();
        ready(start(host, &arguments)?).await
    }

    /// A fresh monitor of the client's node.
    pub(super) async fn monitor(&self) -> anyhow::Result<Monitor> {
        Monitor::of_client(&self.monitor, self.client()).await
    }
}
