//! `btf-fixture`: the type information (BTF) of kernels, trimmed to what the monitor looks into, for its tests.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::debian::{self, Release};
use super::{btf, image};
use crate::command::{target_directory, workspace_root};

const FOLDER: &str = "monitor/tests/fixtures/btf";
const RUNNING: &str = "/sys/kernel/btf/vmlinux";

/// Debian's kernels that have a fixture.
const RELEASES: [Release; 3] = [Release::Bullseye, Release::Bookworm, Release::BookwormBackports];

const ABOUT: &str = "\
# Type information of kernels

What `/sys/kernel/btf/vmlinux` holds there, trimmed to the structures the monitor reads members of: every member and every
type in them stays, what pointers point to and the values of enumerations go. Facts about the layout of kernels, made by
`cargo xtask btf-fixture`, with `--running` also that of the kernel it runs on.

| file | bytes | of | from |
| --- | --- | --- | --- |
";

/// Writes the fixtures, and where they come from.
pub(crate) fn write(running: bool) -> Result<()> {
    let folder = workspace_root().join(FOLDER);
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let about = folder.join("README.md");
    let mut rows = rows(&fs::read_to_string(&about).unwrap_or_default());
    for release in RELEASES {
        let packages = debian::fetch(release, &target_directory()?.join("kernels"))?;
        let from = format!("Debian's package {}", packages.kernel);
        let (file, row) = one(&folder, release.version(), &packages.image(), &from)?;
        rows.insert(file, row);
    }
    if running {
        let output = Command::new("uname").arg("-r").output().context("uname")?;
        let release = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        let name = release.split('.').take(2).collect::<Vec<_>>().join(".");
        let from = format!("a running kernel, {release}");
        let (file, row) = one(&folder, &name, Path::new(RUNNING), &from)?;
        rows.insert(file, row);
    }
    let mut text = ABOUT.to_owned();
    for row in rows.values() {
        writeln!(text, "{row}")?;
    }
    fs::write(&about, text).with_context(|| format!("cannot write {}", about.display()))
}

/// Writes one, and gives back its name and its row of the table.
fn one(folder: &Path, name: &str, source: &Path, from: &str) -> Result<(String, String)> {
    let bytes = fs::read(source).with_context(|| format!("cannot read {}", source.display()))?;
    let types = image::type_information(&bytes).with_context(|| format!("in {}", source.display()))?;
    let trimmed = btf::trim(&types, &btf::STRUCTURES).with_context(|| format!("the types in {}", source.display()))?;
    let file = format!("{name}.btf");
    fs::write(folder.join(&file), &trimmed).with_context(|| format!("cannot write {file}"))?;
    let row = format!("| `{file}` | {} | {} | {from} |", trimmed.len(), types.len());
    println!("{row}");
    Ok((file, row))
}

/// The rows of the table in this text, by the name of the file each is about.
fn rows(text: &str) -> BTreeMap<String, String> {
    let rows = text.lines().filter_map(|line| {
        let (file, _) = line.strip_prefix("| `")?.split_once('`')?;
        Some((file.to_owned(), line.to_owned()))
    });
    rows.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_a_fixture_that_is_not_made_again_stays() {
        let row = "| `6.18.btf` | 10 | 100 | a running kernel |";
        let kept = rows(&format!("{ABOUT}{row}\n"));
        assert_eq!(
            kept.into_iter().collect::<Vec<_>>(),
            [("6.18.btf".to_owned(), row.to_owned())]
        );
    }
}
