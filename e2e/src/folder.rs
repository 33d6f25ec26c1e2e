//! The folder of a run: emptied of what the run before left, and used by one run at a time.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

/// Its name in the folder says that all else in it may be deleted.
const LOCK: &str = "obit-e2e.lock";

/// A folder that is this run's as long as this lives.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    /// Makes the folder, or takes it over from a run that has ended.
    ///
    /// # Errors
    /// When another run uses it, or it is not empty and no run's.
    pub(crate) fn take(path: &Path) -> Result<Self> {
        let what = || format!("the folder {}", path.display());
        fs::create_dir_all(path).with_context(what)?;
        let path = path.canonicalize().with_context(what)?;
        let file = path.join(LOCK);
        if !file.exists() && fs::read_dir(&path).with_context(what)?.next().is_some() {
            bail!(
                "{} is not empty and no run made it: name another folder",
                path.display()
            );
        }
        let lock = File::create(&file).with_context(what)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => bail!("another run uses {}: name another folder", path.display()),
            Err(TryLockError::Error(error)) => return Err(error).with_context(what),
        }
        let folder = Self { path, _lock: lock };
        folder.empty(&[])?;
        Ok(folder)
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Deletes all in it but what is named.
    pub(crate) fn empty(&self, but: &[&str]) -> Result<()> {
        for entry in fs::read_dir(&self.path).with_context(|| format!("reading {}", self.path.display()))? {
            let entry = entry?;
            let name = entry.file_name();
            if name == LOCK || but.iter().any(|kept| name == *kept) {
                continue;
            }
            let path = entry.path();
            let removed = if entry.file_type()?.is_dir() {
                fs::remove_dir_all(&path)
            } else {
                fs::remove_file(&path)
            };
            removed.with_context(|| format!("deleting {}", path.display()))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_of_an_ended_run_is_emptied_and_one_of_nobodys_is_left_alone() {
        let parent = tempfile::tempdir().expect("a folder");
        let path = parent.path().join("run");
        let folder = Folder::take(&path).expect("a new folder");
        fs::create_dir(path.join("node1")).expect("a folder");
        fs::create_dir(path.join("log")).expect("a folder");
        assert!(
            Folder::take(&path)
                .expect_err("used")
                .to_string()
                .starts_with("another run uses")
        );
        folder.empty(&["log"]).expect("emptied");
        assert!(path.join("log").exists() && !path.join("node1").exists());
        drop(folder);
        Folder::take(&path).expect("taken over");
        assert!(!path.join("log").exists());
        let error = Folder::take(parent.path()).expect_err("somebody's").to_string();
        assert!(error.contains("no run made it"), "{error}");
    }
}
