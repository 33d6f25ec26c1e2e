//! `e2e`: a real Kubernetes on this machine, or somebody's own, and what obit does in it.
//!
//! [`provide`] has [`kubernetes`], [`modules`] and [`debian`] make the parts of a cluster that [`parts`] does not have yet, the
//! former two with [`go`], whose silence [`watch`] fills with [`progress`], and what was needed on the way goes by [`cleaning`];
//! [`images`] packs what pods are started from. The cluster
//! itself and the cases are those of the crate `obit-e2e`, to which everything is handed over.

mod cleaning;
mod debian;
mod go;
mod images;
mod kubernetes;
mod modules;
mod parts;
mod progress;
mod provide;
mod watch;

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

use crate::command::{Purpose, cargo, must, spell, target_directory, workspace_root};
use crate::host;

/// What the cases run with; the rest of it is this command's own.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Arguments {
    /// The cases to run; all of them if left out
    cases: Vec<String>,
    /// Leave the cluster up until Ctrl-C, also without a case
    #[arg(long)]
    stay: bool,
    /// How many nodes the cluster has
    #[arg(long, value_name = "N")]
    nodes: Option<u8>,
    /// Run in this cluster instead, whose nodes have the images already; KUBECONFIG is not read, as it may name another for another
    /// purpose
    #[arg(long, value_name = "PATH", conflicts_with_all = ["stay", "nodes"])]
    kubeconfig: Option<PathBuf>,
    /// Only build and fetch what is needed
    #[arg(long, conflicts_with_all = ["cases", "stay"])]
    prepare: bool,
}

/// Builds what is missing, then becomes the end-to-end tests: an interrupt is theirs, and so is the exit code.
pub(crate) fn e2e(arguments: &Arguments) -> Result<ExitCode> {
    let mut command = command(arguments, Purpose::Measure)?;
    if arguments.prepare {
        return Ok(ExitCode::SUCCESS);
    }
    let line = spell(&command);
    eprintln!("\x1b[1m   $ {line}\x1b[0m");
    Err(command.exec()).with_context(|| format!("cannot start `{line}`"))
}

/// Whether what nobody but the user can provide is here: a new enough Go, or everything built already.
pub(crate) fn can_build() -> Result<()> {
    provide::can_provide(&target_directory()?)
}

/// Builds what is missing, in little time, and gives back the command that runs every case in a cluster of its own.
pub(crate) fn prepare() -> Result<Command> {
    command(&Arguments::default(), Purpose::Try)
}

/// `kubectl` and `helm`: those of the `PATH`, or built.
pub(crate) fn clients() -> Result<[PathBuf; 2]> {
    let (parts, cleaning) = provide::clients(&target_directory()?)?;
    cleaning.wait()?;
    Ok(["kubectl", "helm"].map(|name| parts.join(parts::BINARIES).join(name)))
}

fn command(arguments: &Arguments, purpose: Purpose) -> Result<Command> {
    let target = target_directory()?;
    let program = target.join("debug/obit-e2e");
    // Before anything is built, so that ten minutes are not spent on what cannot be run.
    let mut command = match arguments.kubeconfig {
        Some(_) => Command::new(&program),
        None => host::as_root(&program)?,
    };
    let (folder, cleaning) = match arguments.kubeconfig {
        Some(_) => provide::clients(&target)?,
        None => {
            host::install_lab_tools()?;
            provide::cluster(&target)?
        }
    };
    // Nobody loads images into somebody's own cluster but that somebody.
    let images = match arguments.kubeconfig {
        Some(_) => Vec::new(),
        None => images::provide(&folder, purpose)?,
    };
    // It waits for others nearly all the time.
    must(&mut cargo(["build", "-p", "obit-e2e"]))?;
    cleaning.wait()?;
    command.args(words(arguments, &folder, &target, &images));
    Ok(command)
}

/// The command line of `obit-e2e`.
fn words(arguments: &Arguments, parts: &Path, target: &Path, images: &[PathBuf]) -> Vec<OsString> {
    let mut words: Vec<OsString> = vec!["--parts".into(), parts.into()];
    words.extend(["--deploy".into(), workspace_root().join("deploy").into()]);
    words.extend(["--folder".into(), target.join("e2e/run").into()]);
    for image in images {
        words.extend(["--image".into(), image.into()]);
    }
    if arguments.stay {
        words.push("--stay".into());
    }
    if let Some(nodes) = arguments.nodes {
        words.extend(["--nodes".into(), nodes.to_string().into()]);
    }
    if let Some(kubeconfig) = &arguments.kubeconfig {
        words.extend(["--kubeconfig".into(), kubeconfig.into()]);
    }
    // A case is no further image.
    words.push("--".into());
    words.extend(arguments.cases.iter().map(OsString::from));
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(arguments: &Arguments, images: &[PathBuf]) -> String {
        let words = words(arguments, Path::new("/p"), Path::new("/t"), images);
        words.join(" ".as_ref()).into_string().unwrap()
    }

    #[test]
    fn what_is_asked_for_is_handed_on_and_no_case_is_taken_for_an_image() {
        let deploy = workspace_root().join("deploy");
        let plain = format!("--parts /p --deploy {} --folder /t/e2e/run", deploy.display());
        assert_eq!(line(&Arguments::default(), &[]), format!("{plain} --"));
        let own = Arguments {
            cases: vec!["kill".into(), "drain".into()],
            stay: true,
            nodes: Some(3),
            ..Arguments::default()
        };
        let images = ["/i/obit.tar".into(), "/i/pause.tar".into()];
        let expected = format!("{plain} --image /i/obit.tar --image /i/pause.tar --stay --nodes 3 -- kill drain");
        assert_eq!(line(&own, &images), expected);
        let theirs = Arguments {
            kubeconfig: Some("/k".into()),
            ..Arguments::default()
        };
        assert_eq!(line(&theirs, &[]), format!("{plain} --kubeconfig /k --"));
    }
}
