//! What the lab tells a client, and what a client says.

use std::io::{BufRead as _, BufWriter, Write as _};
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use serde::Serialize;

/// What the lab tells a client. Whether calls may be repeated is not heard: ginepro repeats none.
pub struct Environment {
    pub target: String,
    pub name_server: SocketAddr,
    pub pods: usize,
    pub concurrency: u64,
    pub requests: u64,
    pub calls: String,
    pub bound: Duration,
}

impl Environment {
    pub fn read() -> anyhow::Result<Self> {
        let text = |name: &str| {
            std::env::var(name).with_context(|| format!("{name}: a client is started by the lab, see docs/lab.md"))
        };
        let number = |name: &str| -> anyhow::Result<u64> { text(name)?.parse().context(name.to_owned()) };
        Ok(Self {
            target: text("OBIT_LAB_TARGET")?,
            name_server: text("OBIT_LAB_NAME_SERVER")?.parse().context("OBIT_LAB_NAME_SERVER")?,
            pods: text("OBIT_LAB_PODS")?.split(',').count(),
            concurrency: number("OBIT_LAB_CONCURRENCY")?,
            requests: number("OBIT_LAB_REQUESTS")?,
            calls: std::env::var("OBIT_LAB_CALLS").unwrap_or_else(|_| "unary".into()),
            bound: Duration::from_secs(number("OBIT_LAB_SECONDS")?),
        })
    }
}

/// A line; see `docs/lab.md`.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Line {
    Ready,
    Unable { why: String },
    Started { at_ns: u64 },
    Call(Call),
    Done { at_ns: u64, stopped: bool },
}

/// A call; without an end it has not ended.
#[derive(Clone, Serialize)]
pub struct Call {
    pub id: u64,
    pub start_ns: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_ns: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Says these lines.
pub fn say(lines: &[Line]) -> anyhow::Result<()> {
    let mut output = BufWriter::new(std::io::stdout().lock());
    for line in lines {
        serde_json::to_writer(&mut output, line)?;
        output.write_all(b"\n")?;
    }
    Ok(output.flush()?)
}

/// Waits until the lab says `go`.
pub async fn told_to_go() -> anyhow::Result<()> {
    let line = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        std::io::stdin().lock().read_line(&mut line).map(|_| line)
    });
    let line = line.await??;
    anyhow::ensure!(line.trim() == "go", "told {line:?} instead of \"go\"");
    Ok(())
}

/// `CLOCK_MONOTONIC`, nanoseconds.
pub fn monotonic_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    u64::try_from(now.tv_sec).unwrap_or_default() * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or_default()
}
