//! Every scenario with every client, several times, each run kept in a folder as soon as it is over. Progress goes to standard
//! error.

mod args;
mod folder;
mod machine;
mod plan;
mod versions;

use std::path::{Path, PathBuf};

use anyhow::Context as _;

pub use args::MatrixArgs;
pub(crate) use folder::write;
pub use folder::{Folder, FolderError};
pub(crate) use machine::{date, machine};
pub use plan::{Step, plan};

use self::plan::Pace;
pub(crate) use self::versions::versions;
use crate::cli::ReportArgs;
use crate::client::Client;
use crate::clock::monotonic_ns;
use crate::digest::{Digest, markdown, overview, page, summary};
use crate::record::{Document, Environment, FORMAT, Outcome};
use crate::run::{ClientFault, Refusal};
use crate::scenario::{Scenario, builtin};
use crate::session;

/// A matrix, ready to be run.
struct Matrix {
    folder: Folder,
    scenarios: Vec<Scenario>,
    clients: Vec<Client>,
    args: MatrixArgs,
}

/// Runs what `args` ask for and is not yet in the folder.
///
/// # Errors
/// When the lab cannot be built, the folder cannot be written or holds another matrix; in the end, when a run was refused or a
/// client did something that leaves nothing to measure. What was measured stays in the folder.
///
/// # Cancel safety
/// The folder is valid at any time, and a matrix goes on with it.
pub async fn run(args: &MatrixArgs) -> anyhow::Result<()> {
    session::ground()?;
    let date = date();
    let path = args.out.clone().unwrap_or_else(|| new_folder(&date));
    let seed = args.seed.or_else(|| seed_of(&path)).unwrap_or_else(monotonic_ns);
    let clients = args.clients();
    let environment = Environment {
        format: FORMAT,
        date,
        machine: machine(),
        versions: versions(&clients).await,
        flags: args.flags(seed),
    };
    let matrix = Matrix {
        folder: Folder::go_on(&path, &environment)?,
        scenarios: args.scenarios(),
        clients,
        args: args.clone(),
    };
    let failed = matrix.run(&path).await?;
    anyhow::ensure!(
        failed == 0,
        "{failed} runs were refused or could not be measured: their documents say why"
    );
    Ok(())
}

/// Says what the folder holds: as a page, with its summary on standard output, or as markdown.
///
/// # Errors
/// When it is no folder of a matrix, a file in it is not what a matrix writes, or the page cannot be written.
pub fn report(args: &ReportArgs) -> anyhow::Result<()> {
    let folder = Folder::open(&args.folder)?;
    let documents = folder.documents()?;
    anyhow::ensure!(
        !documents.is_empty(),
        "{} holds no run yet: run `obit-lab matrix --out` with it",
        args.folder.display()
    );
    let digest = Digest::of(folder.environment(), documents.values());
    if args.markdown {
        print!("{}", markdown(&digest));
        return Ok(());
    }
    if args.overview {
        print!("{}", overview(&digest));
        return Ok(());
    }
    let path = args.html.clone().unwrap_or_else(|| args.folder.join("report.html"));
    std::fs::write(&path, page(&digest)?).with_context(|| path.display().to_string())?;
    for sentence in summary(&digest) {
        println!("{sentence}");
    }
    eprintln!("the page is {}", path.display());
    Ok(())
}

/// Named after the date, so that it is nobody else's.
fn new_folder(date: &str) -> PathBuf {
    format!("matrix-{}", date.replace(':', "-")).into()
}

/// What chose the victims of the matrix that is gone on with.
fn seed_of(path: &Path) -> Option<u64> {
    Some(Folder::open(path).ok()?.environment().flags.seed)
}

impl Matrix {
    /// Makes the runs that the folder lacks; how many of all came to nothing.
    async fn run(&self, path: &Path) -> anyhow::Result<usize> {
        let steps = plan(&self.folder.environment().flags);
        let mut kept = self.folder.documents()?;
        kept.retain(|_, document| !matches!(document.outcome, Outcome::Refused(_)));
        let left: Vec<_> = steps.iter().filter(|step| !kept.contains_key(&step.file())).collect();
        eprintln!(
            "{} of {} runs left, kept in {}",
            left.len(),
            steps.len(),
            path.display()
        );
        let mut pace = Pace::default();
        for (done, step) in left.iter().enumerate() {
            let rest = left.iter().skip(done).copied();
            let minutes = pace.left(rest).map(|left| left.as_secs().div_ceil(60));
            let minutes = minutes.map_or(String::new(), |minutes| format!(", about {minutes} min left"));
            eprint!("[{}/{}{minutes}] trial {}: ", step.number, steps.len(), step.trial);
            let began_ns = monotonic_ns();
            let document = self.step(step, kept.values()).await?;
            let took_ns = monotonic_ns().saturating_sub(began_ns);
            pace.took(step, std::time::Duration::from_nanos(took_ns));
            self.folder.keep(step, &document)?;
            kept.insert(step.file(), document);
        }
        let failed = |document: &&Document| matches!(document.outcome, Outcome::Fault(_) | Outcome::Refused(_));
        Ok(kept.values().filter(failed).count())
    }

    /// One run, whatever becomes of it.
    async fn step(&self, step: &Step, before: impl Iterator<Item = &Document>) -> anyhow::Result<Document> {
        let outcome = match hopeless(step, before) {
            Some(outcome) => {
                eprintln!(
                    "{} {}: not tried, its first run of this trial failed",
                    step.client, step.scenario
                );
                outcome
            }
            None => self.attempt(step).await?,
        };
        Ok(Document {
            format: FORMAT,
            scenario: step.scenario.clone(),
            client: step.client.clone(),
            trial: step.trial,
            seed: step.seed,
            outcome,
        })
    }

    async fn attempt(&self, step: &Step) -> anyhow::Result<Outcome> {
        let client = self.clients.iter().find(|client| client.name() == step.client);
        let client = client.with_context(|| format!("there is no client {:?}", step.client))?;
        let named = |scenario: &&Scenario| scenario.name == step.scenario;
        let scenario = self.scenarios.iter().find(named).or_else(|| builtin(&step.scenario));
        let scenario = scenario.with_context(|| format!("there is no scenario {:?}", step.scenario))?;
        let settings = self.args.settings(scenario, step.seed)?;
        match session::observed(scenario, client, &settings).await {
            Ok(run) => Ok(Outcome::Measured(Box::new(run.into()))),
            Err(error) => {
                let outcome = outcome_of(&error).ok_or(error)?;
                if let Outcome::Absent(why) | Outcome::Fault(why) | Outcome::Refused(why) = &outcome {
                    eprintln!("  {why}");
                }
                Ok(outcome)
            }
        }
    }
}

/// What becomes of a run that ended like this; `None` if the lab itself does not work.
fn outcome_of(error: &anyhow::Error) -> Option<Outcome> {
    let why = error.root_cause().to_string();
    if error.downcast_ref::<Refusal>().is_some() {
        return Some(Outcome::Refused(why));
    }
    match error.downcast_ref::<ClientFault>()? {
        ClientFault::Absent { .. } | ClientFault::Unable(_) => Some(Outcome::Absent(why)),
        _ => Some(Outcome::Fault(why)),
    }
}

/// What became of the client's first run of this trial with such calls, where nothing happens, if it came to nothing: a client that is absent,
/// or never becomes ready where every pod lives, need not be waited for again before the next trial.
fn hopeless<'a>(step: &Step, mut before: impl Iterator<Item = &'a Document>) -> Option<Outcome> {
    let first = before.find(|it| it.client == step.client && it.trial == step.trial && it.scenario == step.steady)?;
    match &first.outcome {
        Outcome::Measured(_) | Outcome::Refused(_) => None,
        outcome => Some(outcome.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::sample_environment;

    fn document(step: &Step, outcome: Outcome) -> Document {
        Document {
            format: FORMAT,
            scenario: step.scenario.clone(),
            client: step.client.clone(),
            trial: step.trial,
            seed: step.seed,
            outcome,
        }
    }

    #[test]
    fn a_client_whose_first_run_failed_is_tried_again_only_in_the_next_trial() {
        let steps = plan(&sample_environment().flags);
        let fault = Outcome::Fault("it lied".to_owned());
        let before = [document(&steps[0], fault.clone())];
        assert_eq!(hopeless(&steps[1], before.iter()), Some(fault));
        assert_eq!(steps[2].client, "tonic");
        assert_eq!(hopeless(&steps[2], before.iter()), None);
        assert_eq!((steps[5].client.as_str(), steps[5].trial), ("obit", 2));
        assert_eq!(hopeless(&steps[5], before.iter()), None);
        let refused = [document(&steps[0], Outcome::Refused("late".to_owned()))];
        assert_eq!(hopeless(&steps[1], refused.iter()), None);
    }

    #[test]
    fn a_run_s_error_is_the_client_s_the_machine_s_or_the_lab_s() {
        let error = |error: anyhow::Error| outcome_of(&error.context("tonic kill"));
        let absent = ClientFault::Absent {
            program: "x",
            remedy: "build it",
        };
        let unable = ClientFault::Unable("does not do streaming calls".to_owned());
        let told = "it does not do streaming calls".to_owned();
        assert_eq!(error(unable.into()), Some(Outcome::Absent(told)));
        assert_eq!(error(absent.clone().into()), Some(Outcome::Absent(absent.to_string())));
        assert!(matches!(
            error(Refusal::NothingInFlight.into()),
            Some(Outcome::Refused(why)) if why.starts_with("refused")
        ));
        assert!(matches!(
            error(ClientFault::NotReady(std::time::Duration::from_secs(1)).into()),
            Some(Outcome::Fault(_))
        ));
        assert_eq!(error(anyhow::anyhow!("no nft")), None);
    }
}
