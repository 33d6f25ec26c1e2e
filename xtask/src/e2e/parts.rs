//! What has been built or fetched already: each part has a file that keeps the recipe it was made by, and is made again when the
//! recipe is another. A part is made aside and moved into its place when it is whole.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

/// A piece of the cluster that is made by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    /// What it is called in messages, and its stamp.
    pub(super) name: &'static str,
    /// Everything that decides what comes out: versions, sources, flags. Another recipe makes the part anew.
    pub(super) recipe: String,
    /// What it consists of, below the folder of all parts: `bin/kubelet`.
    pub(super) makes: Vec<PathBuf>,
}

impl Part {
    /// A part that is one Go program.
    pub(super) fn program(name: &'static str, recipe: String) -> Self {
        Self {
            name,
            recipe,
            makes: vec![Path::new(BINARIES).join(name)],
        }
    }
}

/// Where programs are, below the folder of all parts.
pub(super) const BINARIES: &str = "bin";

/// The folder of all parts.
#[derive(Debug, Clone)]
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn at(path: PathBuf) -> Self {
        Self(path)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Keeps others out who make parts here, until what is given back is dropped.
    pub(super) fn lock(&self) -> Result<File> {
        let path = self.0.join("lock");
        let lock = fs::create_dir_all(&self.0).and_then(|()| File::create(&path));
        let lock = lock.with_context(|| format!("cannot create {}", path.display()))?;
        if lock.try_lock().is_err() {
            eprintln!("   waiting for another run that builds parts of the cluster");
            lock.lock().with_context(|| format!("cannot lock {}", path.display()))?;
        }
        Ok(lock)
    }

    /// Whether the part is there, whole, and made by this recipe.
    pub(super) fn has(&self, part: &Part) -> bool {
        fs::read_to_string(self.stamp(part)).is_ok_and(|recipe| recipe == part.recipe)
            && part.makes.iter().all(|made| self.0.join(made).exists())
    }

    /// Makes the part, unless it is there. `build` gets a folder of its own and leaves there what the part names.
    ///
    /// # Errors
    /// What `build` says, or that it left something out; the part that was there before is then still there.
    pub(super) fn provide(&self, part: &Part, build: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
        if self.has(part) {
            return Ok(());
        }
        let aside = self.0.join("unfinished").join(part.name);
        remove(&aside)?;
        fs::create_dir_all(&aside).with_context(|| format!("cannot create {}", aside.display()))?;
        build(&aside).with_context(|| format!("{} for the end-to-end tests", part.name))?;
        for made in &part.makes {
            ensure!(
                aside.join(made).exists(),
                "the build of {} ended well and left no {}",
                part.name,
                made.display()
            );
        }
        // From here until the stamp is written it is neither the old part nor the new one.
        remove(&self.stamp(part))?;
        for made in &part.makes {
            replace(&aside.join(made), &self.0.join(made))?;
        }
        write_whole(&self.stamp(part), &part.recipe)?;
        remove(&aside)
    }

    fn stamp(&self, part: &Part) -> PathBuf {
        self.0.join("stamps").join(part.name)
    }
}

/// Removes a file or a folder with all that is in it, if it is there.
pub(super) fn remove(path: &Path) -> Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(it) if it.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => Err(error),
    };
    removed.with_context(|| format!("cannot remove {}", path.display()))
}

/// Moves `from` to `to`. A program that runs from `to` goes on: its file loses its name alone.
fn replace(from: &Path, to: &Path) -> Result<()> {
    let parent = to.parent().unwrap_or(to);
    fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
    remove(to)?;
    fs::rename(from, to).with_context(|| format!("cannot move {} to {}", from.display(), to.display()))
}

/// Writes a file that is never seen half written.
fn write_whole(path: &Path, text: &str) -> Result<()> {
    let half = path.with_extension("half");
    let parent = path.parent().unwrap_or(path);
    fs::create_dir_all(parent)
        .and_then(|()| fs::write(&half, text))
        .and_then(|()| fs::rename(&half, path))
        .with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use anyhow::bail;

    use super::*;

    fn part(recipe: &str) -> Part {
        Part::program("kubelet", recipe.to_owned())
    }

    fn writes(text: &str) -> impl FnOnce(&Path) -> Result<()> {
        move |aside| {
            fs::create_dir_all(aside.join("bin"))?;
            Ok(fs::write(aside.join("bin/kubelet"), text)?)
        }
    }

    fn never(_: &Path) -> Result<()> {
        bail!("it was built again")
    }

    fn folder() -> (tempfile::TempDir, Folder) {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::at(root.path().join("parts"));
        (root, folder)
    }

    #[test]
    fn a_part_is_made_once() {
        let (_root, folder) = folder();
        assert!(!folder.has(&part("v1")));
        folder.provide(&part("v1"), writes("one")).unwrap();
        assert!(folder.has(&part("v1")));
        folder.provide(&part("v1"), never).unwrap();
        assert_eq!(fs::read_to_string(folder.path().join("bin/kubelet")).unwrap(), "one");
        assert!(!folder.path().join("unfinished/kubelet").exists());
    }

    #[test]
    fn one_run_at_a_time_makes_parts() {
        let (_root, folder) = folder();
        let lock = folder.lock().unwrap();
        let other = File::open(folder.path().join("lock")).unwrap();
        assert!(other.try_lock().is_err());
        drop(lock);
        folder.lock().unwrap();
    }

    #[test]
    fn another_recipe_makes_it_anew_and_no_other_part() {
        let (_root, folder) = folder();
        let other = Part::program("helm", "v4".to_owned());
        folder.provide(&part("v1"), writes("one")).unwrap();
        let write_helm = |aside: &Path| {
            fs::create_dir_all(aside.join("bin"))?;
            Ok(fs::write(aside.join("bin/helm"), "helm")?)
        };
        folder.provide(&other, write_helm).unwrap();
        assert!(!folder.has(&part("v2")));
        folder.provide(&part("v2"), writes("two")).unwrap();
        assert_eq!(fs::read_to_string(folder.path().join("bin/kubelet")).unwrap(), "two");
        folder.provide(&other, never).unwrap();
    }

    #[test]
    fn a_part_that_somebody_removed_is_not_there() {
        let (_root, folder) = folder();
        folder.provide(&part("v1"), writes("one")).unwrap();
        fs::remove_file(folder.path().join("bin/kubelet")).unwrap();
        assert!(!folder.has(&part("v1")));
    }

    #[test]
    fn a_build_that_fails_leaves_the_old_part_and_its_name_is_in_the_error() {
        let (_root, folder) = folder();
        folder.provide(&part("v1"), writes("one")).unwrap();
        let error = folder.provide(&part("v2"), |_| bail!("no memory")).unwrap_err();
        assert_eq!(format!("{error:#}"), "kubelet for the end-to-end tests: no memory");
        assert!(folder.has(&part("v1")) && !folder.has(&part("v2")));
    }

    #[test]
    fn a_build_that_leaves_something_out_is_an_error() {
        let (_root, folder) = folder();
        let error = folder.provide(&part("v1"), |_| Ok(())).unwrap_err();
        assert!(error.to_string().contains("bin/kubelet"), "{error}");
        assert!(!folder.has(&part("v1")));
    }

    #[test]
    fn what_an_attempt_left_that_was_cut_off_is_not_taken_in() {
        let (_root, folder) = folder();
        let left = folder.path().join("unfinished/kubelet/bin/kubelet");
        fs::create_dir_all(left.parent().unwrap()).unwrap();
        fs::write(&left, "half").unwrap();
        folder.provide(&part("v1"), |_| Ok(())).unwrap_err();
        assert!(!folder.has(&part("v1")));
    }
}
