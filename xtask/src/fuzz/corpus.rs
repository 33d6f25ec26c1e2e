//! Where inputs lie: those worth keeping in `fuzz/corpus`, those of a session in the target directory, so that fuzzing
//! leaves the tree as it was.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use super::tools::Tools;
use crate::command::{aside, cargo, must, spell, workspace_root};
use crate::test::features_of_library;

/// Where a target's inputs are worked with.
pub(super) fn working(tools: &Tools, target: &str) -> Result<PathBuf> {
    tools.folder("corpus", target)
}

fn saved(target: &str) -> PathBuf {
    workspace_root().join("fuzz/corpus").join(target)
}

/// Puts what is saved, and what the project's own types say today, where it is worked with.
pub(super) fn prepare(tools: &Tools, targets: &[String]) -> Result<()> {
    let all = tools.folder("corpus", "")?;
    // Not `-p obit-fuzz`, and with those features: then nothing is compiled that the tests had compiled otherwise.
    let mut seeds = cargo(["run", "--quiet", "--example", "seeds"]);
    seeds.args(features_of_library()?).arg("--").arg(&all);
    must(&mut aside(seeds))?;
    for target in targets {
        let working = working(tools, target)?;
        for input in files(&saved(target))? {
            copy_into(&input, &working)?;
        }
    }
    Ok(())
}

/// Replaces what is saved of a target by the fewest inputs that reach as much, and says how many there were and are.
/// Inputs with a name of their own stay: they once broke something.
pub(super) fn save(tools: &Tools, target: &str) -> Result<(usize, usize)> {
    let fewest = tools.folder("fewest", target)?;
    for old in files(&fewest)? {
        fs::remove_file(old)?;
    }
    let mut merge = Command::new(tools.binary(target));
    merge
        // By places reached, not by how often: what repeats a loop more often is found again within a second.
        .args(["-merge=1", "-set_cover_merge=1", "-use_counters=0"])
        .arg(&fewest)
        .arg(working(tools, target)?)
        .stderr(Stdio::null());
    let status = merge
        .status()
        .with_context(|| format!("cannot start `{}`", spell(&merge)))?;
    anyhow::ensure!(status.success(), "`{}` failed ({status})", spell(&merge));
    let saved = saved(target);
    fs::create_dir_all(&saved)?;
    let before = files(&saved)?;
    for old in before.iter().filter(|old| has_given_name(old)) {
        fs::remove_file(old)?;
    }
    for input in files(&fewest)? {
        copy_into(&input, &saved)?;
    }
    Ok((before.len(), files(&saved)?.len()))
}

/// Whether libFuzzer named it: by the SHA-1 of what is in it.
fn has_given_name(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    name.len() == 40 && name.iter().all(u8::is_ascii_hexdigit)
}

/// The files in a folder; none where there is no such folder.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    entries.map(|entry| Ok(entry?.path())).collect()
}

fn copy_into(file: &Path, folder: &Path) -> Result<()> {
    let to = folder.join(file.file_name().unwrap_or_default());
    fs::copy(file, &to).with_context(|| format!("cannot write {}", to.display()))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_a_name_of_its_own_stays() {
        assert!(has_given_name(Path::new("/c/da39a3ee5e6b4b0d3255bfef95601890afd80709")));
        for own in ["empty-notices", "da39a3ee", "regression-of-a-length-that-is-40-chars-"] {
            assert!(!has_given_name(Path::new(own)), "{own}");
        }
    }
}
