//! `obit monitor`: the daemon. Puts the parts of the path together and runs them until it is told to end.

use std::convert::Infallible;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use ipnet::IpNet;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};
use tracing::level_filters::LevelFilter;

use super::record::{self, RecordingArgs};
use super::{SocketArgs, random_token};
use crate::allocator;
use crate::canary::Canary;
use crate::clock;
use crate::hub::Hub;
use crate::kernel::{self, Options, Signal};
use crate::privilege::{self, Keep};
use crate::reader::ReaderThread;
use crate::record::format::{Header, Why};
use crate::registry::Limits;
use crate::sighting::NetnsCookie;
use crate::socket::{self, Settings};
use crate::stall::Bounds;

#[derive(Debug, Args)]
pub(super) struct MonitorArgs {
    #[command(flatten)]
    socket: SocketArgs,
    /// Look only at sockets of this network namespace: /run/netns/NAME, /proc/PID/ns/net
    #[arg(long, value_name = "PATH")]
    netns: Option<PathBuf>,
    /// Leave a signal off; may be repeated
    #[arg(long, value_name = "SIGNAL")]
    without: Vec<Signal>,
    /// Addresses of services, behind each of which are many peers: only single connections to them are told of; may be
    /// repeated
    #[arg(long = "vip", value_name = "CIDR", value_delimiter = ',')]
    virtual_addresses: Vec<IpNet>,
    /// Size of the kernel's ring buffer, bytes
    #[arg(long, value_name = "N", default_value_t = Options::default().ring_bytes)]
    ring_bytes: u32,
    /// Wake one reader for all processors instead of one on the processor where something urgent was seen
    #[arg(long)]
    no_doorbells: bool,
    /// Keep all capabilities, and every system call, after the start
    #[arg(long)]
    keep_privileges: bool,
    /// What the kernel programs themselves log: off, error, warn, info, debug, trace
    #[arg(long, value_name = "LEVEL", default_value = "off")]
    ebpf_log: LevelFilter,
    /// The node's name, told to subscribers [default: the host name]
    #[arg(long, env = "NODE_NAME", value_name = "NAME")]
    node: Option<String>,
    /// Subscribers at once
    #[arg(long, value_name = "N", default_value_t = Limits::default().subscribers)]
    max_subscribers: usize,
    /// Peers per subscriber
    #[arg(long, value_name = "N", default_value_t = Limits::default().peers)]
    max_peers: usize,
    /// Peers of all subscribers together, each counted for each subscriber
    #[arg(long, value_name = "N", default_value_t = Limits::default().watches)]
    max_watches: usize,
    /// Milliseconds between two heartbeats
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(10..=60_000))]
    heartbeat_ms: u32,
    /// Milliseconds a Hello, or the rest of a frame, may take
    #[arg(long, value_name = "N", default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(10..))]
    patience_ms: u32,
    /// Milliseconds a subscriber may read nothing although something is there to read
    #[arg(long, value_name = "N", default_value_t = 30_000, value_parser = clap::value_parser!(u32).range(10..))]
    slow_reader_ms: u32,
    /// Milliseconds between two dials on loopback by which the monitor sees that the kernel half is heard
    #[arg(long, value_name = "N", default_value_t = 30_000, value_parser = clap::value_parser!(u32).range(100..=3_600_000))]
    canary_ms: u32,
    /// The shortest time a SYN may go unanswered before its peer is suspect, milliseconds
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    stall_floor_ms: u32,
    /// The longest such time, milliseconds
    #[arg(long, value_name = "N", default_value_t = 250, value_parser = clap::value_parser!(u32).range(1..))]
    stall_ceiling_ms: u32,
    /// The time before anything has been learnt of a subnet, milliseconds
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    stall_cold_ms: u32,
    #[command(flatten)]
    recording: RecordingArgs,
}

impl MonitorArgs {
    fn limits(&self) -> Limits {
        Limits {
            subscribers: self.max_subscribers,
            peers: self.max_peers,
            watches: self.max_watches,
        }
    }

    fn bounds(&self) -> anyhow::Result<Bounds> {
        anyhow::ensure!(
            self.stall_floor_ms <= self.stall_ceiling_ms,
            "--stall-floor-ms {} is more than --stall-ceiling-ms {}",
            self.stall_floor_ms,
            self.stall_ceiling_ms
        );
        Ok(Bounds {
            floor: millis(self.stall_floor_ms),
            ceiling: millis(self.stall_ceiling_ms),
            cold: millis(self.stall_cold_ms),
        })
    }

    fn options(&self) -> anyhow::Result<Options> {
        Ok(Options {
            netns: self.netns.as_deref().map(netns_cookie_of).transpose()?,
            disabled: self.without.clone(),
            ring_bytes: self.ring_bytes,
            doorbells: !self.no_doorbells,
            bpf_log_level: self.ebpf_log,
        })
    }
}

/// The namespace named on the command line.
pub(super) fn netns_cookie_of(path: &Path) -> anyhow::Result<NetnsCookie> {
    kernel::netns_cookie(Some(path)).with_context(|| {
        format!(
            "--netns {}: cannot tell which network namespace that is",
            path.display()
        )
    })
}

fn millis(ms: u32) -> Duration {
    Duration::from_millis(ms.into())
}

pub(super) fn run(args: &MonitorArgs) -> anyhow::Result<()> {
    let bounds = args.bounds()?;
    let options = args.options()?;
    let kernel = kernel::start(&options)?;
    // Reading the kernel's types took much of which nothing is kept.
    allocator::give_back();
    make_room_for_descriptors();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(serve(args, kernel, bounds, options.netns))
}

async fn serve(
    args: &MonitorArgs,
    kernel: kernel::Kernel,
    bounds: Bounds,
    netns: Option<NetnsCookie>,
) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let epoch = random_token();
    let settings = Settings {
        node: args.node.clone().unwrap_or_else(host_name),
        epoch,
        signals: kernel.signals.iter().map(|signal| signal.name().to_owned()).collect(),
        heartbeat: millis(args.heartbeat_ms),
        patience: millis(args.patience_ms),
        slow_reader: millis(args.slow_reader_ms),
    };
    // The file while this process may still open it; its thread when it may do nothing more.
    let recording = args.recording.open();
    let began = clock::monotonic();
    let keep = keep(args, &kernel.filter)?;
    let hub = Hub::new(args.limits(), Box::new(kernel.filter), began);
    let hub = hub.with_virtual_addresses(args.virtual_addresses.clone());
    let (canary, hub) = if kernel.signals.contains(&Signal::Refused) {
        let canary = Canary::new(args.netns.as_deref())?;
        let hub = hub.with_canary(canary.ear())?;
        (Some(canary), hub)
    } else {
        tracing::warn!("without the signal `refused` nothing shows whether the kernel half is heard");
        (None, hub)
    };
    let hub = Arc::new(hub);
    let (source, sharing) = (kernel.source, Arc::clone(&hub));
    let start = || ReaderThread::spawn(source, sharing, bounds);
    let mut reader = match keep {
        None => start(),
        Some(keep) => privilege::start_without(keep, start)?,
    }?;
    if let Some(canary) = &canary {
        canary.prove().await?;
    }
    let (listener, file) = socket::bind(&args.socket.socket, epoch)?;
    if let Some(keep) = keep {
        privilege::give_up(keep, canary.as_ref().map(Canary::descriptor))?;
        tracing::debug!(?keep, "gave up all capabilities and what leads out of this process");
    }
    let header = Header {
        virtual_addresses: args.virtual_addresses.clone(),
        ..record::header(began, settings.node.clone(), bounds, settings.signals.clone(), netns)
    };
    let recording = args.recording.start(recording, &hub, &header);

    let signals = settings.signals.join(" ");
    tracing::info!(socket = %file.path().display(), epoch = format_args!("{epoch:016x}"), signals, "ready");
    // Who waits for this line may have gone.
    let _ = writeln!(
        std::io::stdout(),
        "ready socket={} epoch={epoch:016x}",
        file.path().display()
    );

    let mut failure = None;
    let stop = async {
        tokio::select! {
            _ = terminate.recv() => tracing::info!("SIGTERM"),
            _ = interrupt.recv() => tracing::info!("SIGINT"),
            error = reader.failed() => failure = Some(error),
            never = sing(canary.as_ref(), &hub, millis(args.canary_ms)) => match never {},
        }
    };
    socket::serve(listener, Arc::clone(&hub), settings, stop).await;
    drop(file);
    let why = failure.as_ref().map_or(Why::Stopped, |_| Why::Failed);
    record::finish(recording, &hub, why);
    match failure {
        Some(error) => Err(error).context("the kernel's sightings cannot be read any more"),
        None => Ok(()),
    }
}

async fn sing(canary: Option<&Canary>, hub: &Hub, interval: Duration) -> Infallible {
    match canary {
        Some(canary) => canary.keep_singing(hub, interval).await,
        None => std::future::pending().await,
    }
}

/// What to keep of the privileges the start needed; `None` for all of them.
fn keep(args: &MonitorArgs, filter: &kernel::WatchFilter) -> anyhow::Result<Option<Keep>> {
    if args.keep_privileges {
        tracing::warn!(
            "--keep-privileges: whoever takes over this process may load programs into the kernel, and whatever else it may"
        );
        return Ok(None);
    }
    let keep = Keep::needed_by(filter)?;
    if keep == Keep::Bpf {
        tracing::warn!(
            "CAP_BPF is kept, for changes of the watch filter alone: this kernel asks for it each time (5.19 and newer do not)"
        );
    }
    Ok(Some(keep))
}

/// Every subscriber is a descriptor; the soft limit is 1 024 on most systems, and the hard one is for this.
fn make_room_for_descriptors() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, limit = limit.current, "the limit of open files stays as it is");
    }
}

pub(super) fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
