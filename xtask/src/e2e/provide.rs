//! Everything a cluster is made of, or what drives somebody's own: what is missing is built or fetched.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::cleaning::Cleaning;
use super::go::Go;
use super::modules::{COREDNS, HELM, PAUSE};
use super::parts::{BINARIES, Folder, Part};
use super::{debian, kubernetes};
use crate::command::find_program;

/// How a program of Go's is built into a folder.
type Builder = fn(&Go, &Path) -> Result<()>;

/// A part, and how it is built.
type Built = (Part, Builder);

/// The folder with all parts of a cluster. What was needed to make them may still be being removed.
pub(super) fn cluster(target: &Path) -> Result<(PathBuf, Cleaning)> {
    let folder = folder(target);
    let _lock = folder.lock()?;
    folder.provide(&debian::part(), debian::fetch)?;
    let cleaning = programs(&folder, target, of_a_cluster())?;
    Ok((folder.path().into(), cleaning))
}

/// The folder with what drives a cluster: built, unless it is on the `PATH` or was built before. As above.
pub(super) fn clients(target: &Path) -> Result<(PathBuf, Cleaning)> {
    let folder = folder(target);
    let _lock = folder.lock()?;
    let mut missing = Vec::new();
    for (part, build) in of_any_cluster() {
        match find_program(part.name) {
            Some(program) if !folder.has(&part) => link(&program, &folder.path().join(BINARIES), part.name)?,
            _ => missing.push((part, build)),
        }
    }
    let cleaning = programs(&folder, target, [missing])?;
    Ok((folder.path().into(), cleaning))
}

/// Whether the parts of a cluster are there, or Go is, to build them.
///
/// # Errors
/// Neither: says what to install.
pub(super) fn can_provide(target: &Path) -> Result<()> {
    let folder = folder(target);
    if of_a_cluster().iter().flatten().all(|(part, _)| folder.has(part)) {
        return Ok(());
    }
    Go::find(go_folder(target)).map(drop)
}

/// All programs, in groups that have much in common.
fn of_a_cluster() -> [Vec<Built>; 2] {
    let [kubectl, helm] = of_any_cluster();
    [
        vec![(kubernetes::part(), kubernetes::build), kubectl],
        vec![
            helm,
            (COREDNS.part(), |go, aside| COREDNS.build(go, aside)),
            (PAUSE.part(), |go, aside| PAUSE.build(go, aside)),
        ],
    ]
}

/// `kubectl` and Helm.
fn of_any_cluster() -> [Built; 2] {
    [
        (kubernetes::kubectl(), kubernetes::build_kubectl),
        (HELM.part(), |go, aside| HELM.build(go, aside)),
    ]
}

/// Builds those that are missing. What Go fetches for a group, gigabytes, goes when the group is there, for the next group needs little of
/// it; what it compiles when all are there: nothing needs it again before a version changes.
fn programs(folder: &Folder, target: &Path, groups: impl IntoIterator<Item = Vec<Built>>) -> Result<Cleaning> {
    let mut cleaning = Cleaning::in_folder(target.join("e2e/cleaning"));
    let missing = |group: Vec<Built>| group.into_iter().filter(|(part, _)| !folder.has(part)).collect();
    let groups: Vec<Vec<Built>> = groups.into_iter().map(missing).collect();
    let names: Vec<_> = groups.iter().flatten().map(|(part, _)| part.name).collect();
    if names.is_empty() {
        return Ok(cleaning);
    }
    let hint = match names.contains(&kubernetes::part().name) {
        true => " (Kubernetes takes about seven minutes on two cores)",
        false => "",
    };
    eprintln!("   to be built with Go, once: {}{hint}", names.join(", "));
    let go = Go::find(go_folder(target))?;
    for group in groups {
        for (part, build) in &group {
            folder.provide(part, |aside| build(&go, aside))?;
        }
        go.clean_sources(&mut cleaning)?;
    }
    go.clean(&mut cleaning)?;
    Ok(cleaning)
}

/// Has the user's own program found where the parts are.
fn link(program: &Path, binaries: &Path, name: &str) -> Result<()> {
    let link = binaries.join(name);
    std::fs::create_dir_all(binaries).with_context(|| format!("cannot create {}", binaries.display()))?;
    super::parts::remove(&link)?;
    std::os::unix::fs::symlink(program, &link).with_context(|| format!("cannot link {}", link.display()))
}

/// The folder of the parts of this version.
fn folder(target: &Path) -> Folder {
    Folder::at(target.join("e2e").join(format!("kubernetes-{}", kubernetes::VERSION)))
}

fn go_folder(target: &Path) -> PathBuf {
    target.join("e2e/go")
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_two_parts_have_a_name_or_a_file_in_common() {
        let mut parts: Vec<_> = of_a_cluster().into_iter().flatten().map(|(part, _)| part).collect();
        parts.push(debian::part());
        let names: HashSet<_> = parts.iter().map(|part| part.name).collect();
        let files: HashSet<_> = parts.iter().flat_map(|part| &part.makes).collect();
        assert_eq!(names.len(), parts.len());
        assert_eq!(files.len(), parts.iter().map(|part| part.makes.len()).sum::<usize>());
    }

    #[test]
    fn a_linked_program_is_not_taken_for_a_part_that_was_built() {
        let target = tempfile::tempdir().unwrap();
        let folder = folder(target.path());
        let (part, _) = &of_any_cluster()[0];
        for _ in 0..2 {
            link(Path::new("/bin/true"), &folder.path().join(BINARIES), part.name).unwrap();
        }
        assert!(folder.path().join(&part.makes[0]).exists() && !folder.has(part));
    }
}
