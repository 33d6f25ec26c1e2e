//! Puts the latency scenario together: one peer for each kind of death, a monitor, one client.

use std::path::PathBuf;

use anyhow::Context as _;

use super::{Death, Kind, Latency};
use crate::child::LabProcess;
use crate::clock::monotonic_ns;
use crate::net::{LabId, Topology, stall_marked_dials};
use crate::run::{MonitorProcess, Refusal};

/// What the latency scenario is told.
#[derive(Debug, Clone)]
pub struct LatencySettings {
    /// Deaths, of all kinds together; rounded up to a whole number of each.
    pub trials: u16,
    /// For the pauses between them.
    pub seed: u64,
    /// The `obit` binary.
    pub monitor: PathBuf,
}

/// Lets peers die one after another; `progress` hears of each.
///
/// # Errors
/// When the lab cannot be built, a death is not what it claims, or a process dies that should not.
///
/// # Cancel safety
/// Dropping the future kills its processes and deletes its namespaces.
pub async fn run(settings: &LatencySettings, mut progress: impl FnMut(usize)) -> anyhow::Result<Latency> {
    let each = settings.trials.div_ceil(4).max(1);
    let topology = Topology::build(LabId::of_this_process(), Kind::ALL.len())?;
    let directory = tempfile::Builder::new()
        .prefix("obit-lab-")
        .tempdir_in("/dev/shm")
        .context("/dev/shm")?;
    let mut peers = Vec::new();
    for host in &topology.pods {
        let (address, ports) = (host.address.to_string(), each.to_string());
        let arguments = ["--address", &address, "--ports", &ports].map(str::to_owned);
        peers.push(LabProcess::start(host, "peer", &arguments)?);
    }
    for peer in &mut peers {
        peer.expect("ready").await?;
    }
    for (kind, host) in Kind::ALL.into_iter().zip(&topology.pods) {
        if kind == Kind::Stalled {
            host.apply(&stall_marked_dials())?;
        }
    }
    let mut monitor = MonitorProcess::start(&settings.monitor, &topology.client, directory.path()).await?;
    let mut arguments = vec!["--socket".to_owned(), monitor.socket().display().to_string()];
    arguments.extend(["--address".to_owned(), topology.client.address.to_string()]);
    for host in &topology.pods {
        arguments.extend(["--peer".to_owned(), host.address.to_string()]);
    }
    arguments.extend([
        "--trials".to_owned(),
        each.to_string(),
        "--seed".to_owned(),
        settings.seed.to_string(),
    ]);
    let start_ns = monotonic_ns();
    let mut client = LabProcess::start(&topology.client, "deaths", &arguments)?;
    let mut deaths: Vec<Death> = Vec::new();
    for number in 1..=usize::from(each) * Kind::ALL.len() {
        let line = client.line().await?;
        deaths.push(serde_json::from_str(&line).with_context(|| format!("the client said {line:?}"))?);
        progress(number);
    }
    let elapsed_ns = monotonic_ns().saturating_sub(start_ns);
    if let Some(status) = monitor.exit()? {
        return Err(Refusal::Died(format!("the monitor ({status}; it said: {})", monitor.said())).into());
    }
    for peer in &mut peers {
        if let Some(status) = peer.exit()? {
            return Err(Refusal::Died(format!("{} ({status})", peer.name())).into());
        }
    }
    Ok(Latency::of(&deaths, elapsed_ns))
}
