//! `obit record`, and `obit monitor --record`: keep what decides verdicts, for `obit replay`.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use super::monitor::{host_name, netns_cookie_of};
use super::watch::peer;
use crate::clock;
use crate::hub::{CHUNK, Hub};
use crate::kernel::{self, Options, netns_cookie};
use crate::reader::ReaderThread;
use crate::record::format::{FORMAT, Header, Magic, Why};
use crate::record::writer::{Existing, OpenError, Target, Writer, Written};
use crate::registry::{Limits, Wire};
use crate::sighting::{MonotonicNs, NetnsCookie};
use crate::stall::Bounds;

/// What a recording may take of a disk unless told otherwise, MiB: some ten million sightings.
const MAX_MIB: u64 = 1_024;

/// Recording, as an option of the monitor.
#[derive(Debug, Args)]
pub(super) struct RecordingArgs {
    /// Record to this file what decides verdicts, for `obit replay`; one that is there is renamed to FILE.old
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// The recording ends at this size, MiB
    #[arg(long, value_name = "N", default_value_t = MAX_MIB, value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    record_max_mib: u64,
}

impl RecordingArgs {
    /// Makes the file, if asked to. That it cannot be done is no reason not to watch: it is only logged.
    pub(super) fn open(&self) -> Option<Target> {
        let target = Target::open(self.record.as_ref()?, Existing::Keep);
        target.map_err(|error| not_recorded(&error)).ok()
    }

    /// Starts to record, before anybody has subscribed. That it cannot be done is only logged.
    pub(super) fn start(&self, target: Option<Target>, hub: &Hub, header: &Header) -> Option<Writer> {
        let writer = record(target?, hub, header, self.record_max_mib);
        writer.map_err(|error| not_recorded(&error)).ok()
    }
}

fn not_recorded(error: &OpenError) {
    tracing::error!("nothing is recorded: {error}");
}

/// Ends a recording with the daemon; what it wrote is logged, and why it ended before is logged already.
pub(super) fn finish(writer: Option<Writer>, hub: &Hub, why: Why) {
    hub.record(None);
    if let Some(Ok(written)) = writer.map(|writer| writer.finish(clock::monotonic(), why)) {
        say(&written);
    }
}

fn say(written: &Written) {
    let Written {
        lines, bytes, missing, ..
    } = written;
    tracing::info!(lines, bytes, missing, "recorded");
}

fn record(target: Target, hub: &Hub, header: &Header, max_mib: u64) -> Result<Writer, OpenError> {
    let (recorder, writer) = target.record(header, max_mib << 20)?;
    hub.record(Some(recorder));
    Ok(writer)
}

/// The header of a recording that begins at `start`, which is the hub's.
pub(super) fn header(
    start: MonotonicNs,
    node: String,
    bounds: Bounds,
    signals: Vec<String>,
    netns: Option<NetnsCookie>,
) -> Header {
    Header {
        obit: Magic::Recording,
        format: FORMAT,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        node,
        kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
        start_ns: start.0,
        start_unix_ms: clock::unix_ms(),
        stall: bounds.into(),
        signals,
        netns,
        virtual_addresses: Vec::new(),
    }
}

#[derive(Debug, Args)]
pub(super) struct RecordArgs {
    /// The file to write
    file: PathBuf,
    /// Peers to ask about, as IP:PORT or [IP6]:PORT
    #[arg(required = true, value_name = "PEER", value_parser = peer)]
    peers: Vec<SocketAddr>,
    /// Look only at sockets of this network namespace, and ask for it: /run/netns/NAME, /proc/PID/ns/net
    #[arg(long, value_name = "PATH")]
    netns: Option<PathBuf>,
    /// Overwrite the file if it is there
    #[arg(long)]
    force: bool,
    /// End at this size, MiB
    #[arg(long, value_name = "N", default_value_t = MAX_MIB, value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    max_mib: u64,
    /// The node's name, written into the file [default: the host name]
    #[arg(long, env = "NODE_NAME", value_name = "NAME")]
    node: Option<String>,
}

pub(super) fn run(args: &RecordArgs) -> anyhow::Result<()> {
    let existing = if args.force {
        Existing::Overwrite
    } else {
        Existing::Refuse
    };
    let netns = args.netns.as_deref().map(netns_cookie_of).transpose()?;
    let options = Options {
        netns,
        ..Options::default()
    };
    let kernel = kernel::start(&options)?;
    let target = Target::open(&args.file, existing)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(carry(args, netns, kernel, target))
}

async fn carry(
    args: &RecordArgs,
    netns: Option<NetnsCookie>,
    kernel: kernel::Kernel,
    target: Target,
) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let bounds = Bounds::default();
    let signals = kernel.signals.iter().map(|signal| signal.name().to_owned()).collect();
    let node = args.node.clone().unwrap_or_else(host_name);
    let start = clock::monotonic();
    let hub = Arc::new(Hub::new(Limits::default(), Box::new(kernel.filter), start));
    let header = header(start, node, bounds, signals, netns);
    let mut writer = record(target, &hub, &header, args.max_mib)?;

    let asks_for = netns.or_else(|| netns_cookie(None).ok());
    let subscriber = hub.join(asks_for, Arc::new(NobodyListens))?;
    for peers in args.peers.chunks(CHUNK) {
        hub.watch(subscriber, peers, clock::monotonic())?;
    }
    let mut reader = ReaderThread::spawn(kernel.source, Arc::clone(&hub), bounds)?;
    // Who waits for this line may have gone.
    let _ = writeln!(std::io::stdout(), "recording file={}", args.file.display());

    let (why, failure) = tokio::select! {
        _ = terminate.recv() => (Why::Stopped, None),
        _ = interrupt.recv() => (Why::Stopped, None),
        error = reader.failed() => (Why::Failed, Some(error)),
        () = writer.ended() => (Why::Stopped, None),
    };
    hub.record(None);
    let written = writer.finish(clock::monotonic(), why)?;
    say(&written);
    match failure {
        Some(error) => Err(error).context("the kernel's sightings cannot be read any more"),
        None => Ok(()),
    }
}

/// The wire of a subscriber that only makes the monitor look.
struct NobodyListens;

impl Wire for NobodyListens {
    fn try_write(&self, bytes: &[u8]) -> std::io::Result<usize> {
        Ok(bytes.len())
    }

    fn wake(&self) {}
}
