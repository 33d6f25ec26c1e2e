//! `obit replay`: runs a recording again and prints what subscribers were told, one line each. The same file gives the
//! same bytes.

use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, StdoutLock, Write};
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use obit_protocol::Notice;
use serde::Serialize;

use super::watch::{is_broken_pipe, peer, plain};
use crate::record::decode::{Decoder, LINE_MAX};
use crate::record::format::{Header, Offset, Why};
use crate::record::replay::{News, Replay};
use crate::sighting::{MonotonicNs, NetnsCookie};

#[derive(Debug, Args)]
pub(super) struct ReplayArgs {
    /// A file that `obit record` or `obit monitor --record` wrote
    file: PathBuf,
    /// Print only what concerns this peer, as IP:PORT or [IP6]:PORT; may be repeated
    #[arg(long = "peer", value_name = "PEER", value_parser = peer)]
    peers: Vec<SocketAddr>,
    /// Tell it as to a subscriber in this network namespace, by its cookie, instead of as to those who were there
    #[arg(long, value_name = "COOKIE")]
    netns: Option<u64>,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &ReplayArgs) -> anyhow::Result<()> {
    let mut printer = Printer {
        out: std::io::stdout().lock(),
        json: args.json,
        peers: &args.peers,
        start: MonotonicNs(0),
    };
    let result = replay(args, &mut printer);
    // What could be read is told before what could not.
    let flushed = printer.out.flush();
    match result.and(flushed.map_err(Into::into)) {
        // Whoever read this has read enough.
        Err(error) if is_broken_pipe(&error) => Ok(()),
        result => result.with_context(|| args.file.display().to_string()),
    }
}

fn replay(args: &ReplayArgs, printer: &mut Printer<'_>) -> anyhow::Result<()> {
    let file = File::open(&args.file).context("cannot be read")?;
    let mut lines = Lines {
        file: BufReader::new(file),
        line: Vec::new(),
    };
    let mut decoder = Decoder::new();
    let header = decoder.header(lines.next()?)?;
    printer.start = header.start();
    printer.print(&Line::of_header(header.clone()))?;
    let mut replay = Replay::new(&header, args.netns.map(NetnsCookie));
    let mut news = Vec::new();
    while let Some(entry) = decoder.entry(lines.next()?)? {
        replay.step(&entry, &mut news);
        for news in news.drain(..) {
            printer.tell(&news)?;
        }
    }
    Ok(())
}

struct Lines {
    file: BufReader<File>,
    line: Vec<u8>,
}

impl Lines {
    /// The next line with its line feed; at the end of the file an empty one. One that is too long is cut off after that.
    fn next(&mut self) -> anyhow::Result<&[u8]> {
        self.line.clear();
        let mut most = (&mut self.file).take(LINE_MAX as u64 + 1);
        most.read_until(b'\n', &mut self.line).context("cannot be read")?;
        Ok(&self.line)
    }
}

/// What is printed, one a line. Every time is a distance from the recording's start.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Line {
    Recording {
        node: String,
        version: String,
        kernel: String,
        start_unix_ms: u64,
        signals: Vec<String>,
    },
    Notice {
        at_ns: i64,
        netns: Option<u64>,
        peer: SocketAddr,
        verdict: String,
        reason: String,
        evidence: u32,
        kernel_at_ns: i64,
        seq: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        socket_cookie: Option<u64>,
        /// Known before it was asked for.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        snapshot: bool,
    },
    Lost {
        at_ns: i64,
        total: u64,
    },
    Hearing {
        at_ns: i64,
        /// Since when nothing was heard; without it, it is again.
        #[serde(skip_serializing_if = "Option::is_none")]
        deaf_since_ns: Option<i64>,
    },
    Missing {
        at_ns: i64,
        entries: u64,
    },
    End {
        at_ns: i64,
        why: Why,
    },
}

impl Line {
    fn of_header(header: Header) -> Self {
        Self::Recording {
            node: header.node,
            version: header.version,
            kernel: header.kernel,
            start_unix_ms: header.start_unix_ms,
            signals: header.signals,
        }
    }

    /// `None`: a notice about nobody, which the registry never makes.
    fn of_notice(
        now: Offset,
        netns: Option<NetnsCookie>,
        notice: &Notice,
        snapshot: bool,
        start: MonotonicNs,
    ) -> Option<Self> {
        Some(Self::Notice {
            at_ns: now.0,
            netns: netns.map(|netns| netns.0),
            peer: SocketAddr::try_from(notice.peer.as_ref()?).ok()?,
            verdict: plain(notice.verdict().as_str_name(), "VERDICT_"),
            reason: plain(notice.reason().as_str_name(), "REASON_"),
            evidence: notice.evidence,
            kernel_at_ns: Offset::of(MonotonicNs(notice.kernel_ns), start).0,
            seq: notice.seq,
            socket_cookie: Some(notice.socket_cookie).filter(|cookie| *cookie != 0),
            snapshot,
        })
    }

    fn of(news: &News, start: MonotonicNs) -> Option<Self> {
        Some(match news {
            News::Notice {
                now,
                netns,
                notice,
                known_before,
            } => return Self::of_notice(*now, *netns, notice, *known_before, start),
            News::Lost { now, total } => Self::Lost {
                at_ns: now.0,
                total: *total,
            },
            News::Hearing { now, deaf_since } => Self::Hearing {
                at_ns: now.0,
                deaf_since_ns: deaf_since.map(|since| since.0),
            },
            News::Missing { now, entries } => Self::Missing {
                at_ns: now.0,
                entries: *entries,
            },
            News::End { now, why } => Self::End {
                at_ns: now.0,
                why: *why,
            },
        })
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Recording {
                node,
                version,
                kernel,
                start_unix_ms,
                signals,
            } => {
                let (s, ms) = (start_unix_ms / 1_000, start_unix_ms % 1_000);
                let signals = signals.join(" ");
                write!(
                    f,
                    "recording of {node} at {s}.{ms:03}, obit {version}, Linux {kernel}, saw {signals}"
                )
            }
            Self::Notice {
                at_ns,
                netns,
                peer,
                verdict,
                reason,
                evidence,
                kernel_at_ns,
                seq,
                socket_cookie,
                snapshot,
            } => {
                let (now, at) = (Seconds(*at_ns), Seconds(*kernel_at_ns));
                let peer = peer.to_string();
                write!(
                    f,
                    "{now} {verdict:<11} {peer:<24} {reason:<14} x{evidence} at {at} #{seq}"
                )?;
                if let Some(cookie) = socket_cookie {
                    write!(f, " connection {cookie}")?;
                }
                match netns {
                    Some(netns) => write!(f, " to netns {netns}")?,
                    None => write!(f, " to an unknown netns")?,
                }
                f.write_str(if *snapshot { " (known before)" } else { "" })
            }
            Self::Lost { at_ns, total } => write!(f, "{} lost        {total} sightings so far", Seconds(*at_ns)),
            Self::Hearing { at_ns, deaf_since_ns } => {
                let now = Seconds(*at_ns);
                match deaf_since_ns {
                    Some(since) => write!(f, "{now} deaf        since {}", Seconds(*since)),
                    None => write!(f, "{now} hearing     again"),
                }
            }
            Self::Missing { at_ns, entries } => {
                let now = Seconds(*at_ns);
                write!(f, "{now} missing     {entries} entries: the recorder could not keep up")
            }
            Self::End { at_ns, why } => {
                let why = match why {
                    Why::Stopped => "it was told to stop",
                    Why::Failed => "the sightings could not be read any more",
                    Why::MaxBytes => "the file was as large as it might be",
                };
                write!(f, "{} end         {why}", Seconds(*at_ns))
            }
        }
    }
}

/// Nanoseconds as seconds, with their sign.
struct Seconds(i64);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sign, ns) = (if self.0 < 0 { '-' } else { '+' }, self.0.unsigned_abs());
        write!(f, "{sign}{}.{:09}", ns / 1_000_000_000, ns % 1_000_000_000)
    }
}

struct Printer<'a> {
    out: StdoutLock<'static>,
    json: bool,
    peers: &'a [SocketAddr],
    start: MonotonicNs,
}

impl Printer<'_> {
    fn tell(&mut self, news: &News) -> anyhow::Result<()> {
        match Line::of(news, self.start) {
            Some(Line::Notice { peer, .. }) if !self.peers.is_empty() && !self.peers.contains(&peer) => Ok(()),
            Some(line) => self.print(&line),
            None => Ok(()),
        }
    }

    fn print(&mut self, line: &Line) -> anyhow::Result<()> {
        if self.json {
            serde_json::to_writer(&mut self.out, line).map_err(std::io::Error::from)?;
            writeln!(self.out)?;
        } else {
            writeln!(self.out, "{line}")?;
        }
        Ok(())
    }
}
