//! Removes what was needed on the way, hundreds of thousands of files, beside whatever else goes on.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use anyhow::{Context, Result};

use super::parts::remove;

/// Folders that are being removed.
#[derive(Debug)]
#[must_use = "a process that ends leaves the rest where it is"]
pub(super) struct Cleaning {
    /// Where they are moved to, so that their place is free at once.
    aside: PathBuf,
    started: Vec<JoinHandle<Result<()>>>,
}

impl Cleaning {
    /// Nothing yet, but for what a run that was cut off has left in `aside`.
    pub(super) fn in_folder(aside: PathBuf) -> Self {
        let left: Vec<_> = fs::read_dir(&aside).into_iter().flatten().flatten().collect();
        let mut cleaning = Self {
            aside,
            started: Vec::new(),
        };
        for entry in left {
            cleaning.start(entry.path());
        }
        cleaning
    }

    /// Removes a folder, if it is there: it is gone when this returns, though its room is not yet free.
    pub(super) fn add(&mut self, folder: &Path) -> Result<()> {
        if !folder.exists() {
            return Ok(());
        }
        let name = format!("{}-{}", std::process::id(), self.started.len());
        let moved = self.aside.join(name);
        fs::create_dir_all(&self.aside)
            .and_then(|()| fs::rename(folder, &moved))
            .with_context(|| format!("cannot move {} to {}", folder.display(), moved.display()))?;
        self.start(moved);
        Ok(())
    }

    fn start(&mut self, folder: PathBuf) {
        self.started.push(std::thread::spawn(move || remove(&folder)));
    }

    /// Waits until all is gone.
    ///
    /// # Errors
    /// What could not be removed.
    pub(super) fn wait(self) -> Result<()> {
        for thread in self.started {
            thread
                .join()
                .unwrap_or_else(|_| anyhow::bail!("the thread that removes files panicked"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_go_and_so_does_what_an_earlier_run_left() {
        let folder = tempfile::tempdir().unwrap();
        let (aside, one) = (folder.path().join("aside"), folder.path().join("one"));
        fs::create_dir_all(aside.join("left/a")).unwrap();
        let mut cleaning = Cleaning::in_folder(aside.clone());
        for _ in 0..2 {
            fs::create_dir_all(one.join("b")).unwrap();
            cleaning.add(&one).unwrap();
            assert!(!one.exists());
        }
        cleaning.wait().unwrap();
        assert_eq!(fs::read_dir(&aside).unwrap().count(), 0);
        let mut nothing = Cleaning::in_folder(aside);
        nothing.add(&one).unwrap();
        assert!(nothing.started.is_empty());
    }
}
