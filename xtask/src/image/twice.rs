//! Whether an image depends on where it was built: builds it once more, from a copy of the sources in another folder, and compares.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::pack::Packed;
use crate::command::{cargo, must, output, target_directory, workspace_root};

/// Builds these images again and compares their files.
///
/// # Errors
/// When an image is another one this time: names it and where both are. Also when the sources cannot be copied: it needs git.
pub(super) fn compare(first: &[Packed], example: bool) -> Result<()> {
    let again = target_directory()?.join("image-again");
    let (sources, images) = (again.join("sources"), again.join("images"));
    if again.exists() {
        fs::remove_dir_all(&again).with_context(|| format!("cannot remove {}", again.display()))?;
    }
    copy(&workspace_root(), &sources).with_context(|| format!("cannot copy the sources to {}", sources.display()))?;
    lend_tools(&again.join("target"))?;
    // Everything once more, the eBPF object too, by the copy's own xtask.
    let mut command = cargo(["run", "--quiet", "--package", "xtask", "--", "image", "--out"]);
    command
        .arg(&images)
        .current_dir(&sources)
        .env("CARGO_TARGET_DIR", again.join("target"));
    if example {
        command.arg("--example");
    }
    must(&mut command)?;
    for one in first {
        let file = one.path.file_name().context("an image without a name")?;
        let other = images.join(file);
        let read = |path: &Path| fs::read(path).with_context(|| format!("cannot read {}", path.display()));
        ensure!(
            read(&one.path)? == read(&other)?,
            "{} is not the same when it is built elsewhere: compare {} and {} (`diffoscope` shows in what they differ)",
            one.name,
            one.path.display(),
            other.display()
        );
    }
    // Only a difference is worth its room.
    fs::remove_dir_all(&again).with_context(|| format!("cannot remove {}", again.display()))
}

/// Copies what git knows or would add, as it is now.
fn copy(from: &Path, to: &Path) -> Result<()> {
    let mut git = std::process::Command::new("git");
    git.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(from);
    let listed = output(&mut git).context("`git ls-files` does not tell which files belong to the workspace")?;
    for name in listed.split('\0').filter(|name| !name.is_empty()) {
        let (source, copy) = (from.join(name), to.join(name));
        // Removed and not committed yet.
        if fs::symlink_metadata(&source).is_err() {
            continue;
        }
        fs::create_dir_all(copy.parent().context("a file without a folder")?)?;
        fs::copy(&source, &copy).with_context(|| format!("cannot copy {name}"))?;
    }
    Ok(())
}

/// The linker of the eBPF programs, where it was installed for this workspace: to build it takes minutes and shows nothing.
fn lend_tools(target: &Path) -> Result<()> {
    let (tools, lent) = (target_directory()?.join("ebpf-tools"), target.join("ebpf-tools"));
    fs::create_dir_all(target).with_context(|| format!("cannot make {}", target.display()))?;
    if tools.exists() {
        std::os::unix::fs::symlink(&tools, &lent).with_context(|| format!("cannot make {}", lent.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_copy_has_what_git_knows_and_what_it_would_add() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        fs::create_dir_all(from.join("inner/target")).unwrap();
        for (name, text) in [
            (".gitignore", "target\n"),
            ("inner/new", "new"),
            ("inner/target/built", "built"),
        ] {
            fs::write(from.join(name), text).unwrap();
        }
        let git = std::process::Command::new("git")
            .args(["init", "--quiet"])
            .current_dir(&from)
            .status()
            .unwrap();
        assert!(git.success());
        copy(&from, &to).unwrap();
        assert_eq!(fs::read_to_string(to.join("inner/new")).unwrap(), "new");
        assert!(to.join(".gitignore").exists() && !to.join("inner/target").exists());
    }
}
