//! The process of a built-in client: keeps the lab's contract (see [`crate::contract`]). What it has to say of its calls it says when
//! they are over, so that saying it is no part of what is measured.

use std::io::{BufRead as _, BufWriter, Write};

use anyhow::Context as _;

use super::load::Done;
use super::{ClientKind, Observations, Outcome, clients};
use crate::contract::{CallLine, Environment, Line};

/// What the process is told beside its environment.
#[derive(Debug, Clone, clap::Args)]
pub struct ClientArgs {
    /// The process that must outlive this one.
    #[arg(long)]
    pub parent: u32,
    /// Which client library to drive.
    pub client: ClientKind,
}

/// Runs the workload.
///
/// # Errors
/// When the environment is not the lab's, the client cannot be built, or a pod does not answer the warm-up.
pub fn run(args: &ClientArgs) -> anyhow::Result<()> {
    crate::child::die_with_parent(args.parent)?;
    let environment = Environment::read(|name| std::env::var(name).ok())?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let (done, observations) = runtime.block_on(clients::drive(args.client, &environment))?;
    // Calls that hang hold their tasks; nothing of theirs is needed any more.
    runtime.shutdown_background();
    let mut output = BufWriter::new(std::io::stdout().lock());
    tell(done, observations, &mut output).context("the lab does not listen")
}

fn tell(done: Done, observations: Observations, to: &mut impl Write) -> std::io::Result<()> {
    let calls = done.calls.into_iter().map(|(id, call)| {
        Line::Call(CallLine {
            id,
            start_ns: call.start_ns,
            end_ns: (call.outcome != Outcome::Hung).then_some(call.end_ns),
            pod: match call.outcome {
                Outcome::Answered(pod) => Some(format!("pod-{pod}")),
                _ => None,
            },
            error: match call.outcome {
                Outcome::Failed(class) => done.classes.get(usize::from(class)).cloned(),
                _ => None,
            },
        })
    });
    let moved = observations.transitions.into_iter().map(Line::Moved);
    let told = observations.told.into_iter().map(Line::Told);
    let over = Line::Done {
        at_ns: done.stop_ns,
        stopped: done.stopped,
    };
    for line in calls.chain(moved).chain(told).chain([over]) {
        say(&line, to)?;
    }
    to.flush()
}

fn say(line: &Line, to: &mut impl Write) -> std::io::Result<()> {
    serde_json::to_writer(&mut *to, line)?;
    to.write_all(b"\n")
}

/// Says `ready`, waits for `go`, and says `started`.
pub(super) async fn rendezvous() -> anyhow::Result<()> {
    say(&Line::Ready, &mut std::io::stdout())?;
    let line = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        std::io::stdin().lock().read_line(&mut line).map(|_| line)
    });
    let line = line.await??;
    anyhow::ensure!(line.trim() == "go", "told {line:?} instead of \"go\"");
    let at_ns = crate::clock::monotonic_ns();
    Ok(say(&Line::Started { at_ns }, &mut std::io::stdout())?)
}
