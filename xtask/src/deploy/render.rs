//! What kubectl and helm make of `deploy/`, without a cluster.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::command::{spell, workspace_root};

/// The namespace of the base, and of the release that is compared with it.
const NAMESPACE: &str = "obit-system";

/// The programs that render.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tools<'a> {
    pub(super) kubectl: &'a Path,
    pub(super) helm: &'a Path,
}

impl Tools<'_> {
    /// The objects of a folder with a `kustomization.yaml`, named from `deploy/`.
    pub(super) fn kustomize(&self, folder: &str) -> Result<Vec<Value>> {
        let folder = folder_of(folder);
        let mut command = Command::new(self.kubectl);
        objects(command.arg("kustomize").arg(folder))
    }

    /// The objects of the chart with these values (`NAME=VALUE`).
    pub(super) fn chart(&self, values: &[&str]) -> Result<Vec<Value>> {
        objects(&mut self.template(values))
    }

    /// Has helm look for mistakes in the chart.
    pub(super) fn lint(&self) -> Result<()> {
        let mut command = Command::new(self.helm);
        succeed(command.args(["lint", "--strict"]).arg(chart())).map(drop)
    }

    /// Gives the chart a value that is none, and wants to be told so by its schema, with the name of what is wrong.
    pub(super) fn refuse(&self, value: &str, named: &str) -> Result<()> {
        let mut command = self.template(&[value]);
        let output = run(&mut command)?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(
            !output.status.success(),
            "`{}` succeeded: values.schema.json lets it pass",
            spell(&command)
        );
        ensure!(
            said.contains("schema") && said.contains(named),
            "`{}` failed, but not for the schema's sake, or without naming {named:?}: {said}",
            spell(&command)
        );
        Ok(())
    }

    fn template(&self, values: &[&str]) -> Command {
        let mut command = Command::new(self.helm);
        command.args(["template", "obit"]).arg(chart());
        command.args(["--namespace", NAMESPACE]);
        for value in values {
            command.args(["--set", value]);
        }
        command
    }
}

fn folder_of(name: &str) -> PathBuf {
    workspace_root().join("deploy").join(name)
}

fn chart() -> PathBuf {
    folder_of("helm/obit")
}

fn run(command: &mut Command) -> Result<Output> {
    command
        .output()
        .with_context(|| format!("cannot start `{}`", spell(command)))
}

fn succeed(command: &mut Command) -> Result<String> {
    let output = run(command)?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(
        output.status.success(),
        "`{}` ended with {}: {text}{}",
        spell(command),
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(text)
}

fn objects(command: &mut Command) -> Result<Vec<Value>> {
    let text = succeed(command)?;
    let objects: Vec<Value> =
        serde_saphyr::from_multiple(&text).with_context(|| format!("what `{}` printed", spell(command)))?;
    ensure!(!objects.is_empty(), "`{}` printed no object", spell(command));
    Ok(objects)
}
