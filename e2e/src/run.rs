//! From the command line to the table: a stage, the cases on it, and what came of them.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::args::{Args, Inner, chosen};
use crate::cases::{self, Case};
use crate::clock;
use crate::cluster::{self, Cluster};
use crate::folder::Folder;
use crate::interrupt;
use crate::kubectl::Kubectl;
use crate::report::{Outcome, Row, any_failed, table};
use crate::stage::Stage;

/// Does what was asked for. The exit code is 1 when a case failed.
pub(crate) fn run(args: Args) -> Result<ExitCode> {
    if let Some(Inner::Hold { folder }) = &args.inner {
        cluster::hold(folder)?;
        return Ok(ExitCode::SUCCESS);
    }
    let chosen = chosen(cases::ALL, &args.cases, args.stay)?;
    interrupt::install()?;
    let folder = Folder::take(&args.folder)?;
    let result = on_stage(&args, &chosen, &folder);
    // The cluster is down by now. Its logs stay, for who wants to know more.
    folder.empty(&["log"])?;
    result
}

fn on_stage(args: &Args, chosen: &[&'static Case], folder: &Folder) -> Result<ExitCode> {
    let stage = set_up(args, folder.path())?;
    let mut rows = Vec::new();
    for &case in chosen {
        let row = play(case, &stage);
        // Asked to end while it ran: what it says of that is no finding.
        interrupt::pause(Duration::ZERO)?;
        println!("{}", row.outcome.line(row.name));
        rows.push(row);
    }
    if args.stay {
        if let Some(cluster) = &stage.own {
            eprintln!("it stays until Ctrl-C; to look at it:\n   {}", cluster.invitation());
        }
        while interrupt::pause(Duration::from_secs(3_600)).is_ok() {}
    }
    eprint!("{}", table(&rows));
    Ok(if any_failed(&rows) {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

fn set_up(args: &Args, folder: &Path) -> Result<Stage> {
    let (kubectl, own) = match &args.kubeconfig {
        Some(kubeconfig) => {
            eprintln!(
                "the images must be on this cluster's nodes already: nothing is loaded into a cluster that is not ours"
            );
            (
                Kubectl::new(args.parts.join("bin/kubectl"), kubeconfig.clone(), None),
                None,
            )
        }
        None => {
            let cluster = Cluster::new(&args.parts, folder, args.nodes, &args.images)?;
            (cluster.kubectl().clone(), Some(cluster))
        }
    };
    Ok(Stage {
        kubectl,
        helm: args.parts.join("bin/helm"),
        deploy: args
            .deploy
            .canonicalize()
            .with_context(|| format!("the manifests in {}", args.deploy.display()))?,
        own,
    })
}

fn play(case: &'static Case, stage: &Stage) -> Row {
    eprintln!("\x1b[1m{}\x1b[0m  {}", case.name, case.about);
    let begun = clock::now();
    let outcome = missing(case, stage).map_or_else(
        || match (case.run)(stage) {
            Ok(seen) => Outcome::Pass(seen),
            Err(error) => Outcome::Fail(format!("{error:#}")),
        },
        Outcome::Skip,
    );
    Row {
        name: case.name,
        took: begun.elapsed(),
        outcome,
    }
}

/// Why this case cannot be tried here.
fn missing(case: &Case, stage: &Stage) -> Option<String> {
    if case.needs.own_cluster && stage.own.is_none() {
        return Some("it breaks what belongs to somebody: run it without --kubeconfig, in a cluster of its own".into());
    }
    match stage.nodes() {
        Ok(nodes) if nodes.len() < case.needs.nodes => Some(format!(
            "it needs {} nodes and there are {}: run it with --nodes {0}",
            case.needs.nodes,
            nodes.len()
        )),
        // That the API does not answer is for the case to say.
        _ => None,
    }
}
