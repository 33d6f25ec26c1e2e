//! An invocation: for each client the scenario between two steady runs of its own, then the report. Progress goes to standard
//! error, results to standard output.

use anyhow::Context as _;

use crate::bench::{self, Effort, Outcome, Row, Suite};
use crate::cli::{BenchArgs, LabArgs, LatencyArgs};
use crate::client::Client;
use crate::clock::monotonic_ns;
use crate::latency;
use crate::net::{require_root, require_tools, sweep};
use crate::report::{Compared, Line, Unmeasured, sentence, table};
use crate::run::{Refusal, Run, Settings, clear, run};
use crate::scenario::{PODS, Scenario, builtin};

/// How often a run is made before a busy machine ends the invocation.
const ATTEMPTS: usize = 3;

/// Runs `scenario` for each client and reports.
///
/// # Errors
/// When the lab cannot be built or a run is refused; when a client could not be measured, after the report of the others.
pub async fn scenario(scenario: &Scenario, args: &LabArgs) -> anyhow::Result<()> {
    let settings = prepare(args, &[scenario])?;
    let measured = measure(&[scenario], args, &settings).await?;
    if !args.json {
        print!("{}", table(&measured.runs));
    }
    measured.say(args.json)
}

/// Runs kill and blackhole for each client, prints them side by side, and says what they show.
///
/// # Errors
/// As [`scenario`].
pub async fn demo(args: &LabArgs) -> anyhow::Result<()> {
    let shown = [known("kill")?, known("blackhole")?];
    let settings = prepare(args, &shown)?;
    let measured = measure(&shown, args, &settings).await?;
    if !args.json {
        for scenario in shown {
            let runs = measured.runs.iter().filter(|it| it.run.scenario == scenario.name);
            let runs: Vec<_> = runs.cloned().collect();
            println!("{}: {}\n\n{}", scenario.name, scenario.summary, table(&runs));
        }
        println!("In short: {}", sentence(&measured.runs));
    }
    measured.say(args.json)
}

/// What came of an invocation.
#[derive(Default)]
struct Measured {
    runs: Vec<Compared>,
    unmeasured: Vec<Unmeasured>,
}

impl Measured {
    /// Names the clients that could not be measured.
    fn say(&self, json: bool) -> anyhow::Result<()> {
        for unmeasured in &self.unmeasured {
            if json {
                println!("{}", serde_json::to_string(unmeasured)?);
            } else {
                println!("{unmeasured}");
            }
        }
        match self.unmeasured.len() {
            0 => Ok(()),
            1 => anyhow::bail!("a client could not be measured"),
            many => anyhow::bail!("{many} clients could not be measured"),
        }
    }
}

/// Each client between steady runs of its own. What is known is printed at once as JSON if that is asked for.
async fn measure(scenarios: &[&Scenario], args: &LabArgs, settings: &Settings) -> anyhow::Result<Measured> {
    let mut measured = Measured::default();
    for client in args.clients() {
        match compare(scenarios, &client, settings).await {
            Ok(runs) => {
                for Compared { run, steady_ns } in runs.iter().filter(|_| args.json) {
                    println!("{}", serde_json::to_string(&Line::of(run, *steady_ns))?);
                }
                measured.runs.extend(runs);
            }
            Err(error) => {
                let unmeasured = Unmeasured::of(client.name(), &error).ok_or(error)?;
                eprintln!("{unmeasured}");
                measured.unmeasured.push(unmeasured);
            }
        }
    }
    Ok(measured)
}

/// Lets peers die one after another without load, and reports how long the kernel's events took to the client.
///
/// # Errors
/// As [`scenario`].
pub async fn latency(args: &LatencyArgs) -> anyhow::Result<()> {
    ground()?;
    let settings = args.settings(monotonic_ns())?;
    let latency = latency::run(&settings, |number| {
        if number % 100 == 0 {
            eprintln!("{number} deaths");
        }
    });
    let latency = latency.await.context("latency")?;
    if args.json {
        println!("{}", serde_json::to_string(&latency::latency_line(&latency))?);
    } else {
        print!("{}", latency::latency_table(&latency));
    }
    Ok(())
}

/// Measures what obit costs and how fast it is, with one of the benches. A missed target is said, and is no error.
///
/// # Errors
/// As [`scenario`].
pub async fn bench<P: Suite>(args: &BenchArgs<P>) -> anyhow::Result<()> {
    ground()?;
    let settings = args.settings()?;
    let minutes = bench::estimate(&settings).as_secs().div_ceil(60);
    eprintln!(
        "{} parts, {}{}",
        settings.parts.len(),
        match settings.pairs {
            Some(pairs) => format!("{pairs} pairs each"),
            None => "as many pairs as the effort affords".to_owned(),
        },
        match settings.effort {
            Effort::Full => format!(": about {minutes} min"),
            Effort::Quick => ", quick".to_owned(),
            Effort::Trial => ", on trial".to_owned(),
        },
    );
    let mut outcomes: Vec<Outcome> = Vec::new();
    let run = P::run(&settings, |_, measured| {
        let measured = measured?;
        if args.json {
            for outcome in &measured {
                println!("{}", serde_json::to_string(&Row::of(P::NAME, outcome))?);
            }
        }
        outcomes.extend(measured);
        Ok(())
    });
    let ended = run.await;
    // What was measured before a part failed is worth the minutes it took.
    if outcomes.is_empty() {
        return ended;
    }
    if args.markdown {
        print!("{}", bench::markdown(&outcomes));
    } else if !args.json {
        print!("{}", bench::text(&outcomes));
    }
    ended
}

/// A scenario that comes with the lab.
fn known(name: &str) -> anyhow::Result<&'static Scenario> {
    builtin(name).with_context(|| format!("there is no scenario {name:?}"))
}

/// Checks what the lab needs and removes what dead labs left.
pub(crate) fn ground() -> anyhow::Result<()> {
    require_root()?;
    require_tools()?;
    for name in sweep()? {
        eprintln!("removed {name}, left behind by a lab that was killed");
    }
    Ok(())
}

/// The ground, and what all runs of this invocation have in common.
fn prepare(args: &LabArgs, scenarios: &[&Scenario]) -> anyhow::Result<Settings> {
    ground()?;
    let settings = args.settings(scenarios, monotonic_ns())?;
    eprintln!(
        "{} callers x {} calls, {} pods, seed {}{}",
        settings.concurrency,
        settings.requests,
        PODS,
        settings.seed,
        if settings.idempotent {
            ""
        } else {
            ", calls not marked as idempotent"
        }
    );
    Ok(settings)
}

/// The client's own steady run, then each of `scenarios`, all with calls of one kind, then the steady run again: a machine that slows
/// down or speeds up meanwhile is in the mean of the two as it is in the scenarios between them.
pub(crate) async fn compare(
    scenarios: &[&Scenario],
    client: &Client,
    settings: &Settings,
) -> anyhow::Result<Vec<Compared>> {
    let steady = known(scenarios.first().context("no scenario")?.steady())?;
    let before = observed(steady, client, settings).await?;
    if *scenarios == [steady] {
        let steady_ns = Some(before.figures.elapsed_ns);
        return Ok(vec![Compared { run: before, steady_ns }]);
    }
    let mut runs = Vec::new();
    for scenario in scenarios {
        runs.push(observed(scenario, client, settings).await?);
    }
    let after = observed(steady, client, settings).await?;
    let steady_ns = Some(before.figures.elapsed_ns.midpoint(after.figures.elapsed_ns));
    Ok(runs.into_iter().map(|run| Compared { run, steady_ns }).collect())
}

/// One recorded run. One that was refused because the machine was too busy for it is made again, and said to be.
pub(crate) async fn observed(scenario: &Scenario, client: &Client, settings: &Settings) -> anyhow::Result<Run> {
    for _ in 1..ATTEMPTS {
        match attempt(scenario, client, settings).await {
            Err(error) if error.downcast_ref().is_some_and(Refusal::is_chance) => {
                eprintln!("  {error:#}; once more");
            }
            done => return done,
        }
    }
    attempt(scenario, client, settings).await
}

/// One run, with its progress on standard error.
async fn attempt(scenario: &Scenario, client: &Client, settings: &Settings) -> anyhow::Result<Run> {
    eprint!("{} {} ... ", client.name(), scenario.name);
    let run = run(scenario, client, settings)
        .await
        .with_context(|| format!("{} {}", client.name(), scenario.name));
    clear(&format!("{} {}", client.name(), scenario.name));
    match &run {
        Ok(run) => eprintln!(
            "{}.{:03} s, {} answered, {} failed",
            run.figures.elapsed_ns / 1_000_000_000,
            run.figures.elapsed_ns / 1_000_000 % 1_000,
            run.figures.success,
            run.figures.fail
        ),
        Err(_) => eprintln!("not recorded"),
    }
    run
}
