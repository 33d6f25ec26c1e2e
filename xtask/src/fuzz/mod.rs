//! `fuzz`: runs the fuzz targets on what is known of them, and says what came of it.
//!
//! [`tools`] finds or installs what builds them, [`corpus`] knows where inputs lie, [`run`] runs one target and [`report`]
//! reads what it prints (pure).

mod corpus;
mod report;
mod run;
mod tools;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError, mpsc};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use self::report::Progress;
use crate::command::{Purpose, metadata};

pub(crate) use self::run::Outcome;
pub(crate) use self::tools::Tools;

/// How many run at a time: libFuzzer has one thread, and CI two processors.
const AT_A_TIME: usize = 2;

/// How often those that run say how far they are.
const EVERY: Duration = Duration::from_secs(10);

/// What `cargo xtask fuzz` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The targets; all of them if none is named
    targets: Vec<String>,
    /// How long each runs
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Then keeps what is worth keeping in `fuzz/corpus`
    #[arg(long)]
    save: bool,
    /// Runs one target once, on this input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["seconds", "save"])]
    reproduce: Option<PathBuf>,
}

/// Fuzzes; fails when an input broke something.
pub(crate) fn fuzz(arguments: &Arguments) -> Result<ExitCode> {
    let targets = chosen(&arguments.targets)?;
    let tools = Tools::find_or_install().context("the tools for fuzzing")?;
    if let Some(input) = &arguments.reproduce {
        let [target] = targets.as_slice() else {
            bail!("name one target for --reproduce: {}", targets.join(", "));
        };
        let input = std::path::absolute(input)?;
        tools.build(&targets, Purpose::Measure)?;
        return run::reproduce(&tools, target, &input);
    }
    let outcomes = session(&tools, &targets, arguments.seconds, Purpose::Measure)?;
    if arguments.save {
        for outcome in outcomes.iter().filter(|outcome| outcome.failure.is_none()) {
            let (before, after) = corpus::save(&tools, &outcome.target)?;
            println!("fuzz/corpus/{}: {before} inputs before, {after} now", outcome.target);
        }
    }
    let broken = outcomes.iter().any(|outcome| outcome.failure.is_some());
    Ok(if broken { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The names of all targets.
pub(crate) fn all() -> Result<Vec<String>> {
    let metadata = metadata()?;
    let packages = metadata["packages"].as_array().into_iter().flatten();
    let targets = packages
        .filter(|package| package["name"] == "obit-fuzz")
        .filter_map(|package| package["targets"].as_array())
        .flatten();
    Ok(targets
        .filter(|target| {
            target["kind"]
                .as_array()
                .is_some_and(|kind| kind.iter().any(|it| it == "bin"))
        })
        .filter_map(|target| target["name"].as_str())
        .map(str::to_owned)
        .collect())
}

fn chosen(named: &[String]) -> Result<Vec<String>> {
    let all = all()?;
    if named.is_empty() {
        return Ok(all);
    }
    if let Some(unknown) = named.iter().find(|name| !all.contains(name)) {
        bail!("there is no fuzz target `{unknown}`; there are {}", all.join(", "));
    }
    Ok(named.to_vec())
}

/// Builds the targets, runs each for so long, and prints how they fared.
///
/// # Errors
/// They do not build, or cannot be run.
pub(crate) fn session(tools: &Tools, targets: &[String], seconds: u64, purpose: Purpose) -> Result<Vec<Outcome>> {
    tools.build(targets, purpose)?;
    corpus::prepare(tools, targets)?;
    let progress: Vec<_> = targets.iter().map(|_| Mutex::new(Progress::default())).collect();
    let waiting = Mutex::new(targets.iter().zip(&progress));
    let take = || waiting.lock().unwrap_or_else(PoisonError::into_inner).next();
    let one_after_the_other = || {
        std::iter::from_fn(take)
            .map(|(target, progress)| run::run(tools, target, seconds, progress))
            .collect::<Result<Vec<_>>>()
    };
    let mut outcomes = std::thread::scope(|scope| {
        let (_running, ended) = mpsc::channel::<()>();
        scope.spawn(|| tell(targets, &progress, ended));
        let workers: Vec<_> = (0..AT_A_TIME).map(|_| scope.spawn(one_after_the_other)).collect();
        let mut outcomes = Vec::new();
        for worker in workers {
            outcomes.extend(worker.join().expect("a worker does not panic")?);
        }
        Ok::<_, anyhow::Error>(outcomes)
    })?;
    outcomes.sort_by_key(|outcome| targets.iter().position(|target| *target == outcome.target));
    println!(
        "{}",
        report::table(outcomes.iter().map(|it| (it.target.as_str(), &it.progress)))
    );
    for outcome in &outcomes {
        if let Some(failure) = &outcome.failure {
            println!("{}: {failure}", outcome.target);
        }
    }
    Ok(outcomes)
}

/// Says now and then how far those are that run, until `ended` has no sender any more.
fn tell(targets: &[String], progress: &[Mutex<Progress>], ended: mpsc::Receiver<()>) {
    let mut ticks = 0_u32;
    while ended.recv_timeout(EVERY) == Err(mpsc::RecvTimeoutError::Timeout) {
        ticks += 1;
        let lines: Vec<_> = targets
            .iter()
            .zip(progress)
            .filter_map(|(target, progress)| {
                let progress = progress.lock().unwrap_or_else(PoisonError::into_inner);
                progress.is_running().then(|| format!("{target}: {progress}"))
            })
            .collect();
        if !lines.is_empty() {
            eprintln!("   {:>3} s  {}", (EVERY * ticks).as_secs(), lines.join("; "));
        }
    }
}

/// A path as it is typed in the workspace's root.
fn from_root(path: &Path) -> String {
    let root = crate::command::workspace_root();
    path.strip_prefix(root).unwrap_or(path).display().to_string()
}
