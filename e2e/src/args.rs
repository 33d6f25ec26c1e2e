//! What is asked for on the command line.

use std::path::PathBuf;

use anyhow::{Result, bail};

use crate::cases::Case;

/// obit in a real Kubernetes: stands one up in network namespaces of this machine, and runs the cases in it.
#[derive(Debug, clap::Parser)]
#[command(name = "obit-e2e", version)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) inner: Option<Inner>,
    /// The folder with Kubernetes' programs in `bin/` and Debian's in `deb/`; `cargo xtask e2e` makes it
    #[arg(long, default_value = "target/e2e/parts")]
    pub(crate) parts: PathBuf,
    /// The project's folder `deploy/`
    #[arg(long, default_value = "deploy")]
    pub(crate) deploy: PathBuf,
    /// Where the cluster's files and logs go; emptied first
    #[arg(long, default_value = "target/e2e/run")]
    pub(crate) folder: PathBuf,
    /// An image to load into each node, as an OCI archive; may be given more than once
    #[arg(long = "image", value_name = "TAR", num_args = 1..)]
    pub(crate) images: Vec<PathBuf>,
    /// Leave the cluster as it is after the cases, until Ctrl-C
    #[arg(long)]
    pub(crate) stay: bool,
    /// How many nodes it has
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=5))]
    pub(crate) nodes: u8,
    /// Use this cluster instead of an own one; the images must be on its nodes already
    #[arg(long, value_name = "PATH", conflicts_with = "stay")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// The cases to run; all without any, none with `--stay` alone
    pub(crate) cases: Vec<String>,
}

/// What this program runs itself as.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Inner {
    /// The first process of a node
    #[command(hide = true)]
    Hold {
        /// The node's own folder
        folder: PathBuf,
    },
}

/// The cases that were asked for: all unless some are named.
///
/// # Errors
/// When there is no such case.
pub(crate) fn chosen<'a>(all: &'a [Case], named: &[String], stay: bool) -> Result<Vec<&'a Case>> {
    let names = || all.iter().map(|case| case.name).collect::<Vec<_>>().join(", ");
    for name in named {
        if !all.iter().any(|case| case.name == name) {
            bail!("there is no case `{name}`; there are: {}", names());
        }
    }
    let wanted = |case: &&Case| {
        if named.is_empty() {
            !stay
        } else {
            named.iter().any(|name| name == case.name)
        }
    };
    Ok(all.iter().filter(wanted).collect())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::cases::Needs;

    const CASES: [Case; 2] = [case("one"), case("two")];

    const fn case(name: &'static str) -> Case {
        Case {
            name,
            about: "",
            needs: Needs {
                own_cluster: false,
                nodes: 1,
            },
            run: |_| Ok(String::new()),
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn all_cases_are_chosen_unless_some_are_named_or_the_cluster_only_is_to_stay() {
        let names = |named: &[&str], stay| {
            let named: Vec<_> = named.iter().map(|&name| name.to_owned()).collect();
            let chosen = chosen(&CASES, &named, stay).expect("cases");
            chosen.iter().map(|case| case.name).collect::<Vec<_>>()
        };
        assert_eq!(names(&[], false), ["one", "two"]);
        assert_eq!(names(&["two"], false), ["two"]);
        assert_eq!(names(&["two"], true), ["two"]);
        assert!(names(&[], true).is_empty());
    }

    #[test]
    fn a_case_that_is_not_there_is_refused_with_those_that_are() {
        let error = chosen(&CASES, &["three".into()], false).expect_err("no such case");
        assert_eq!(error.to_string(), "there is no case `three`; there are: one, two");
    }
}
