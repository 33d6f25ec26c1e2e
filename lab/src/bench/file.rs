//! A file of results: written whole or not at all, and read only if it is one.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::record::{BenchFile, FORMAT, KIND};

/// Why a file is of no use.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read.
    #[error("{}: {fault}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        fault: std::io::Error,
    },
    /// It is something else.
    #[error("{} is no file of `cargo xtask bench`: {why}", path.display())]
    Other {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// It has another form.
    #[error("{} has form {found}, this program reads form {FORMAT}: use the obit-lab that wrote it", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// Its form.
        found: u64,
    },
    /// Its run was cut off.
    #[error("{} is not whole: its run was cut off after {rows} rows. Next: measure again", path.display())]
    CutOff {
        /// The file.
        path: PathBuf,
        /// How far it came.
        rows: usize,
    },
}

/// What a file of another form still says.
#[derive(Deserialize)]
struct Head {
    kind: String,
    format: u64,
}

/// Reads the results of a run that came to its end.
///
/// # Errors
/// When it is no such file: says what it is instead.
pub(super) fn read(path: &Path) -> Result<BenchFile, FileError> {
    let text = std::fs::read(path).map_err(|fault| FileError::Io {
        path: path.to_owned(),
        fault,
    })?;
    let other = |why: String| FileError::Other {
        path: path.to_owned(),
        why,
    };
    let head: Head = serde_json::from_slice(&text).map_err(|fault| other(fault.to_string()))?;
    if head.kind != KIND {
        return Err(other(format!("it says it is of kind {:?}", head.kind)));
    }
    if head.format != u64::from(FORMAT) {
        return Err(FileError::Format {
            path: path.to_owned(),
            found: head.format,
        });
    }
    let file: BenchFile = serde_json::from_slice(&text).map_err(|fault| other(fault.to_string()))?;
    if !file.whole {
        return Err(FileError::CutOff {
            path: path.to_owned(),
            rows: file.rows.len(),
        });
    }
    Ok(file)
}

/// Where results go unless told otherwise: `bench` in the folder that cargo builds in, or here, named after the date.
#[must_use]
pub(super) fn default_path(binary: &Path, date: &str) -> PathBuf {
    let name = format!("{}.json", date.replace(':', "-"));
    let built = binary
        .parent()
        .filter(|folder| folder.ends_with("release") || folder.ends_with("debug"));
    match built.and_then(Path::parent) {
        Some(target) => target.join("bench").join(name),
        None => format!("bench-{name}").into(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::tests::file;
    use super::*;

    #[test]
    fn only_a_whole_file_of_this_form_is_read_and_others_are_told_what_they_are() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("a.json");
        let error = || read(&path).unwrap_err().to_string();
        assert!(error().contains("a.json: No such file"), "{}", error());
        let mut written = file(vec![]);
        std::fs::write(&path, serde_json::to_vec(&written).unwrap()).unwrap();
        assert_eq!(read(&path).unwrap(), written);
        for (text, expected) in [
            ("", "is no file of `cargo xtask bench`: EOF"),
            ("[]", "is no file"),
            ("{\"format\": 1}", "missing field `kind`"),
            ("{\"kind\": \"x\", \"format\": 1}", "of kind \"x\""),
            ("{\"kind\": \"obit bench\", \"format\": 9, \"new\": 1}", "form 9"),
            ("{\"kind\": \"obit bench\", \"format\": 1}", "missing field"),
        ] {
            std::fs::write(&path, text).unwrap();
            assert!(error().contains(expected), "{}", error());
        }
        written.whole = false;
        std::fs::write(&path, serde_json::to_vec(&written).unwrap()).unwrap();
        assert!(error().contains("not whole"), "{}", error());
    }

    #[test]
    fn results_go_where_cargo_builds_or_here() {
        let path = |binary: &str| default_path(binary.as_ref(), "2026-11-27T18:00:00Z");
        assert_eq!(
            path("/x/target/release/obit-lab"),
            Path::new("/x/target/bench/2026-11-27T18-00-00Z.json")
        );
        assert_eq!(path("/usr/bin/obit-lab"), Path::new("bench-2026-11-27T18-00-00Z.json"));
    }
}
