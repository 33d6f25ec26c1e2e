//! `obit watch`: subscribes like any client and prints what it is told, one line each.

use std::io::{ErrorKind, Write};
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::bail;
use clap::Args;
use obit_protocol::{Heartbeat, Notice, Welcome, monitor_message::Message, normalise};
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};

use super::subscription::{Ended, Subscription};
use super::{SocketArgs, random_token};

#[derive(Debug, Args)]
pub(super) struct WatchArgs {
    /// Peers to ask about, as IP:PORT or [IP6]:PORT
    #[arg(required = true, value_name = "PEER", value_parser = peer)]
    peers: Vec<SocketAddr>,
    #[command(flatten)]
    socket: SocketArgs,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

pub(super) fn peer(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr = text
        .parse()
        .map_err(|_| "not an address and port: write 198.18.0.2:8080 or [fd00::2]:8080".to_owned())?;
    // The monitor's own rules, told before it hangs up over them.
    SocketAddr::try_from(&obit_protocol::Peer::from(address)).map_err(|error| error.to_string())?;
    Ok(normalise(address))
}

/// What is printed, one a line.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Event {
    Connected {
        node: String,
        epoch: u64,
        signals: Vec<String>,
        coverage_since_ns: u64,
    },
    Notice {
        seq: u64,
        peer: String,
        verdict: String,
        reason: String,
        evidence: u32,
        kernel_ns: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        socket_cookie: Option<u64>,
        /// Known before it was asked for.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        snapshot: bool,
    },
    Blind {
        since_ns: u64,
        lost: u64,
    },
    Seeing {
        lost: u64,
    },
    NodeSuspect {
        since_ns: u64,
    },
    NodeTrusted,
    Disconnected {
        why: String,
    },
}

impl Event {
    fn connected(welcome: Welcome) -> Self {
        Self::Connected {
            node: welcome.node,
            epoch: welcome.epoch,
            signals: welcome.signals,
            coverage_since_ns: welcome.coverage_since_ns,
        }
    }

    fn notice(notice: &Notice, snapshot: bool) -> Self {
        let peer = notice.peer.as_ref().map(SocketAddr::try_from);
        Self::Notice {
            seq: notice.seq,
            peer: match peer {
                Some(Ok(peer)) => peer.to_string(),
                Some(Err(error)) => error.to_string(),
                None => "no peer".into(),
            },
            verdict: plain(notice.verdict().as_str_name(), "VERDICT_"),
            reason: plain(notice.reason().as_str_name(), "REASON_"),
            evidence: notice.evidence,
            kernel_ns: notice.kernel_ns,
            socket_cookie: Some(notice.socket_cookie).filter(|cookie| *cookie != 0),
            snapshot,
        }
    }

    fn print(&self, out: &mut impl Write, json: bool) -> std::io::Result<()> {
        if json {
            serde_json::to_writer(&mut *out, self)?;
            writeln!(out)?;
        } else {
            self.print_text(out)?;
        }
        out.flush()
    }

    fn print_text(&self, out: &mut impl Write) -> std::io::Result<()> {
        match self {
            Self::Connected {
                node, epoch, signals, ..
            } => {
                writeln!(
                    out,
                    "connected   {node}, epoch {epoch:016x}, sees {}",
                    signals.join(" ")
                )
            }
            Self::Notice {
                seq,
                peer,
                verdict,
                reason,
                evidence,
                kernel_ns,
                socket_cookie,
                snapshot,
            } => {
                let (seconds, nanoseconds) = (kernel_ns / 1_000_000_000, kernel_ns % 1_000_000_000);
                write!(
                    out,
                    "{verdict:<11} {peer:<24} {reason:<15} x{evidence} at {seconds}.{nanoseconds:09} #{seq}"
                )?;
                if let Some(cookie) = socket_cookie {
                    write!(out, " connection {cookie}")?;
                }
                writeln!(out, "{}", if *snapshot { " (known before)" } else { "" })
            }
            Self::Blind { lost, .. } => writeln!(out, "blind       {lost} sightings lost so far"),
            Self::Seeing { lost } => writeln!(out, "seeing      again; {lost} sightings were lost"),
            Self::NodeSuspect { .. } => {
                writeln!(
                    out,
                    "node-suspect most peers fell silent at once: silence does not count"
                )
            }
            Self::NodeTrusted => writeln!(out, "node-trusted silence counts again"),
            Self::Disconnected { why } => writeln!(out, "disconnected {why}"),
        }
    }
}

pub(super) fn plain(name: &str, prefix: &str) -> String {
    name.trim_start_matches(prefix).to_lowercase().replace('_', "-")
}

pub(super) fn run(args: &WatchArgs) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let result = runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        tokio::select! {
            result = follow(args) => result,
            _ = terminate.recv() => Ok(()),
            _ = interrupt.recv() => Ok(()),
        }
    });
    match result {
        // Whoever read this has read enough.
        Err(error) if is_broken_pipe(&error) => Ok(()),
        result => result,
    }
}

pub(super) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io = error.downcast_ref::<std::io::Error>();
    io.is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}

/// Subscribes, and again whenever the session ends; a monitor that is not there the first time is an error.
async fn follow(args: &WatchArgs) -> anyhow::Result<()> {
    let mut jitter = fastrand::Rng::with_seed(random_token());
    let mut out = std::io::stdout().lock();
    let mut failures = 0;
    let mut met = false;
    loop {
        let why = match Subscription::open(&args.socket.socket, &args.peers).await {
            Ok((subscription, welcome)) => {
                (met, failures) = (true, 0);
                Event::connected(welcome).print(&mut out, args.json)?;
                print_all(subscription, &mut out, args.json).await?
            }
            Err(Ended::Connect(error)) if !met => bail!(
                "no monitor answers at {}: {error}; start one with `obit monitor`, or name its socket with --socket",
                args.socket.socket.display()
            ),
            Err(ended) => ended,
        };
        if failures == 0 {
            let why = format!("{:#}", anyhow::Error::from(why));
            Event::Disconnected { why }.print(&mut out, args.json)?;
        }
        tokio::time::sleep(pause(failures, &mut jitter)).await;
        failures += 1;
    }
}

/// How long to wait before the next attempt: 10 to 250 ms at first, doubled with each failure up to 5 s, never twice the
/// same, so that a node's clients do not come back all at once.
fn pause(failures: u32, jitter: &mut fastrand::Rng) -> Duration {
    let most = (250_u64 << failures.min(5)).min(5_000);
    Duration::from_millis(jitter.u64(10..=most))
}

async fn print_all(mut subscription: Subscription, out: &mut impl Write, json: bool) -> anyhow::Result<Ended> {
    let (mut blind, mut suspect) = (false, false);
    loop {
        match subscription.next().await {
            Ok(Message::Notice(notice)) => Event::notice(&notice, false).print(out, json)?,
            Ok(Message::Snapshot(snapshot)) => {
                for notice in &snapshot.notices {
                    Event::notice(notice, true).print(out, json)?;
                }
            }
            Ok(Message::Heartbeat(Heartbeat {
                lost,
                blind_since_ns,
                node_suspect_since_ns,
                ..
            })) => {
                if suspect != (node_suspect_since_ns != 0) {
                    suspect = !suspect;
                    let event = if suspect {
                        Event::NodeSuspect {
                            since_ns: node_suspect_since_ns,
                        }
                    } else {
                        Event::NodeTrusted
                    };
                    event.print(out, json)?;
                }
                if blind != (blind_since_ns != 0) {
                    blind = !blind;
                    let event = if blind {
                        Event::Blind {
                            since_ns: blind_since_ns,
                            lost,
                        }
                    } else {
                        Event::Seeing { lost }
                    };
                    event.print(out, json)?;
                }
            }
            Ok(Message::Welcome(_) | Message::Pong(_) | Message::Goodbye(_) | Message::Endpoints(_)) => {}
            Err(ended) => return Ok(ended),
        }
    }
}
