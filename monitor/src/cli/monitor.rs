//! `obit monitor`: the daemon. Puts the parts of the path together and runs them until it is told to end.

use std::convert::Infallible;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use ipnet::IpNet;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{Signal as Listening, SignalKind, signal};
use tracing::level_filters::LevelFilter;

use super::kubernetes::KubernetesArgs;
use super::record::{self, RecordingArgs};
use super::{SocketArgs, random_token};
use crate::allocator;
use crate::canary::Canary;
use crate::clock;
use crate::hub::Hub;
use crate::kernel::{self, Options, Signal};
use crate::kubernetes::{self, Access, Board, NodePods};
use crate::privilege::{self, Dials, Keep};
use crate::reader::ReaderThread;
use crate::record::format::{Header, Why};
use crate::registry::Limits;
use crate::sighting::NetnsCookie;
use crate::socket::{self, Settings};
use crate::stall::Bounds;
use crate::status::{Listener, Parts, Status};
use crate::subscribers::{Policy, Roll};

/// How long after it could not start it is tried again.
const AGAIN: Duration = Duration::from_secs(60);

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
    #[command(flatten)]
    kubernetes: KubernetesArgs,
    /// Answer /livez, /readyz and /metrics over HTTP there. A monitor that cannot work here then stays, says why, and tries again
    /// once a minute
    #[arg(long, env = super::ready::LISTEN, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// Services per subscriber
    #[arg(long, value_name = "N", default_value_t = Settings::default().services)]
    max_services: usize,
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
    let policy = args.kubernetes.policy()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut told_to_end = Signals::new()?;
        let status = Arc::new(Status::default());
        let listener = args
            .listen
            .map(|address| Listener::bind(address).with_context(|| format!("--listen {address}: cannot listen there")));
        let listener = listener.transpose()?;
        let answers = async {
            match listener {
                Some(listener) => listener.serve(Arc::clone(&status)).await,
                None => std::future::pending().await,
            }
        };
        let work = async {
            let Some(kernel) = start(args, &options, &status, &mut told_to_end).await? else {
                return Ok(());
            };
            // Reading the kernel's types took much of which nothing is kept.
            allocator::give_back();
            make_room_for_descriptors();
            serve(args, kernel, (bounds, policy), options.netns, &status, told_to_end).await
        };
        tokio::select! {
            result = work => result,
            never = answers => match never {},
        }
    })
}

/// SIGTERM and SIGINT.
struct Signals {
    terminate: Listening,
    interrupt: Listening,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for one of them.
    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => tracing::info!("SIGTERM"),
            _ = self.interrupt.recv() => tracing::info!("SIGINT"),
        }
    }
}

/// Starts the kernel half. Where it does not work and somebody may ask why, stays until it does; `None`: was told to end meanwhile.
async fn start(
    args: &MonitorArgs,
    options: &Options,
    status: &Status,
    told_to_end: &mut Signals,
) -> anyhow::Result<Option<kernel::Kernel>> {
    loop {
        let error = match kernel::start(options) {
            Ok(kernel) => return Ok(Some(kernel)),
            Err(error) if args.listen.is_none() => return Err(error.into()),
            Err(error) => anyhow::Error::new(error),
        };
        tracing::error!("not ready: {error:#}");
        status.cannot_start(format!("{error:#}"));
        tokio::select! {
            () = told_to_end.next() => return Ok(None),
            () = tokio::time::sleep(AGAIN) => {}
        }
    }
}

async fn serve(
    args: &MonitorArgs,
    kernel: kernel::Kernel,
    (bounds, policy): (Bounds, Option<Policy>),
    netns: Option<NetnsCookie>,
    status: &Status,
    mut told_to_end: Signals,
) -> anyhow::Result<()> {
    let losses = kernel.losses.clone();
    let epoch = random_token();
    let settings = Settings {
        node: args.node.clone().unwrap_or_else(host_name),
        epoch,
        signals: kernel.signals.iter().map(|signal| signal.name().to_owned()).collect(),
        heartbeat: millis(args.heartbeat_ms),
        patience: millis(args.patience_ms),
        slow_reader: millis(args.slow_reader_ms),
        services: args.max_services,
    };
    let access = args.kubernetes.access();
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
    let roll = Arc::new(Roll::new(kernel.cgroups, policy));
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
        let dials = match access {
            Some(_) => Dials::Network,
            None => Dials::With(canary.as_ref().map(Canary::descriptor)),
        };
        privilege::give_up(keep, dials)?;
        tracing::debug!(?keep, "gave up all capabilities and what leads out of this process");
    }
    let header = Header {
        virtual_addresses: args.virtual_addresses.clone(),
        ..record::header(began, settings.node.clone(), bounds, settings.signals.clone(), netns)
    };
    let recording = args.recording.start(recording, &hub, &header);

    let pods = NodePods {
        node: settings.node.clone(),
        roll: Arc::clone(&roll),
    };
    let board = access.map(|access| watch_kubernetes(access, &hub, pods)).transpose()?;

    status.running(Parts {
        hub: Arc::clone(&hub),
        losses,
        board: board.clone(),
        roll: Arc::clone(&roll),
    });

    let signals = settings.signals.join(" ");
    tracing::info!(socket = %file.path().display(), epoch = format_args!("{epoch:016x}"), signals, "ready");
    // Who waits for this line may have gone.
    let _ = writeln!(
        io::stdout(),
        "ready socket={} epoch={epoch:016x}",
        file.path().display()
    );

    let mut failure = None;
    let stop = async {
        tokio::select! {
            () = told_to_end.next() => {}
            error = reader.failed() => failure = Some(error),
            never = sing(canary.as_ref(), &hub, millis(args.canary_ms)) => match never {},
        }
    };
    socket::serve(listener, Arc::clone(&hub), board, roll, settings, stop).await;
    drop(file);
    let why = failure.as_ref().map_or(Why::Stopped, |_| Why::Failed);
    record::finish(recording, &hub, why);
    match failure {
        Some(error) => Err(error).context("the kernel's sightings cannot be read any more"),
        None => Ok(()),
    }
}

/// Begins to watch Kubernetes, with what privileges are left.
fn watch_kubernetes(access: Access, hub: &Arc<Hub>, pods: NodePods) -> anyhow::Result<Arc<Board>> {
    let board = Arc::new(Board::default());
    kubernetes::start(access, Arc::clone(&board), Arc::clone(hub), Some(pods))
        .context("cannot begin to watch Kubernetes")?;
    Ok(board)
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
