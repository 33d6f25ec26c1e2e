//! A matrix's folder: `environment.json`, and `runs/` with a document a run. A file is there whole or not at all.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::plan::Step;
use crate::record::{Document, Environment, FORMAT};

const ENVIRONMENT: &str = "environment.json";
const RUNS: &str = "runs";

/// Why a folder is of no use.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// It is no folder of a matrix.
    #[error("{} has no {ENVIRONMENT}: it is no folder of `obit-lab matrix`", .0.display())]
    NoMatrix(PathBuf),
    /// A file cannot be read or written.
    #[error("{}: {fault}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        fault: std::io::Error,
    },
    /// A file is not what a matrix writes, or not all of it.
    #[error("{}: {fault}: remove it, and run the matrix again with this folder", path.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// Where and why.
        fault: serde_json::Error,
    },
    /// A file has another form.
    #[error("{} has form {found}, this program reads form {FORMAT}: use the obit-lab that wrote it", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// Its form.
        found: u32,
    },
    /// The folder holds other runs.
    #[error("{} holds a matrix of another kind ({}): name another folder", path.display(), differences.join("; "))]
    Other {
        /// The folder.
        path: PathBuf,
        /// In what it differs.
        differences: Vec<String>,
    },
}

/// A matrix's folder.
#[derive(Debug, Clone)]
pub struct Folder {
    path: PathBuf,
    environment: Environment,
}

impl Folder {
    /// The folder in `path`, to be read.
    ///
    /// # Errors
    /// When it is no folder of a matrix.
    pub fn open(path: &Path) -> Result<Self, FolderError> {
        let file = path.join(ENVIRONMENT);
        if !file.exists() {
            return Err(FolderError::NoMatrix(path.to_owned()));
        }
        Ok(Self {
            path: path.to_owned(),
            environment: read(&file)?,
        })
    }

    /// The folder in `path`, to be gone on with; made where there is none.
    ///
    /// # Errors
    /// When it holds runs that differ from what `environment` says in more than the date, or cannot be written.
    pub fn go_on(path: &Path, environment: &Environment) -> Result<Self, FolderError> {
        match Self::open(path) {
            Ok(folder) => {
                let differences = folder.environment.differences(environment);
                if differences.is_empty() {
                    return Ok(folder);
                }
                return Err(FolderError::Other {
                    path: path.to_owned(),
                    differences,
                });
            }
            Err(FolderError::NoMatrix(_)) => {}
            Err(error) => return Err(error),
        }
        let runs = path.join(RUNS);
        std::fs::create_dir_all(&runs).map_err(|fault| FolderError::Io { path: runs, fault })?;
        write(&path.join(ENVIRONMENT), environment)?;
        Ok(Self {
            path: path.to_owned(),
            environment: environment.clone(),
        })
    }

    /// Where and how its runs were made.
    #[must_use]
    pub fn environment(&self) -> &Environment {
        &self.environment
    }

    /// Every document, by its file's name, which is the order of the runs.
    ///
    /// # Errors
    /// When one of them cannot be read: it is named.
    pub fn documents(&self) -> Result<BTreeMap<String, Document>, FolderError> {
        let runs = self.path.join(RUNS);
        let error = |fault| FolderError::Io {
            path: runs.clone(),
            fault,
        };
        let mut documents = BTreeMap::new();
        for entry in std::fs::read_dir(&runs).map_err(error)? {
            let entry = entry.map_err(error)?;
            // What a killed matrix was about to write has another ending.
            if let Ok(name) = entry.file_name().into_string()
                && name.ends_with(".json")
            {
                documents.insert(name, read(&entry.path())?);
            }
        }
        Ok(documents)
    }

    /// Keeps the document of `step`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn keep(&self, step: &Step, document: &Document) -> Result<(), FolderError> {
        write(&self.path.join(RUNS).join(step.file()), document)
    }
}

/// What a file of another form still says.
#[derive(serde::Deserialize)]
struct Form {
    format: u32,
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<T, FolderError> {
    let text = std::fs::read(path).map_err(|fault| FolderError::Io {
        path: path.to_owned(),
        fault,
    })?;
    let broken = |fault| FolderError::Broken {
        path: path.to_owned(),
        fault,
    };
    let Form { format } = serde_json::from_slice(&text).map_err(broken)?;
    if format != FORMAT {
        return Err(FolderError::Format {
            path: path.to_owned(),
            found: format,
        });
    }
    serde_json::from_slice(&text).map_err(broken)
}

/// Beside the file first, then in its place at once.
pub(crate) fn write(path: &Path, value: &impl Serialize) -> Result<(), FolderError> {
    let written = || {
        let folder = path.parent().unwrap_or(Path::new("."));
        let mut file = tempfile::Builder::new().suffix(".part").tempfile_in(folder)?;
        serde_json::to_writer_pretty(&mut file, value)?;
        file.write_all(b"\n")?;
        // A temporary file is its owner's alone; results are for everybody.
        let everybody = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        file.as_file().set_permissions(everybody)?;
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    };
    written().map_err(|fault| FolderError::Io {
        path: path.to_owned(),
        fault,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::plan::plan;
    use crate::record::{Outcome, sample_environment};

    fn document(step: &Step) -> Document {
        Document {
            format: FORMAT,
            scenario: step.scenario.clone(),
            client: step.client.clone(),
            trial: step.trial,
            seed: step.seed,
            outcome: Outcome::Fault("it lied".to_owned()),
        }
    }

    #[test]
    fn what_is_kept_is_read_again_in_the_order_of_the_runs() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("new");
        let environment = sample_environment();
        let folder = Folder::go_on(&path, &environment).unwrap();
        let steps = plan(&environment.flags);
        for step in [&steps[2], &steps[0]] {
            folder.keep(step, &document(step)).unwrap();
        }
        // A matrix that was killed while it wrote.
        std::fs::write(path.join("runs/.tmpX.part"), "{\"for").unwrap();
        let again = Folder::open(&path).unwrap();
        assert_eq!(again.environment(), &environment);
        let documents: Vec<_> = again.documents().unwrap().into_values().collect();
        assert_eq!(documents, [document(&steps[0]), document(&steps[2])]);
    }

    #[test]
    fn a_folder_is_gone_on_with_only_by_the_same_matrix() {
        let place = tempfile::tempdir().unwrap();
        let environment = sample_environment();
        Folder::go_on(place.path(), &environment).unwrap();
        let mut later = environment.clone();
        later.date = "2027-01-01T00:00:00Z".to_owned();
        assert_eq!(Folder::go_on(place.path(), &later).unwrap().environment(), &environment);
        later.flags.trials = 9;
        let error = Folder::go_on(place.path(), &later).unwrap_err().to_string();
        assert!(error.contains("trials is 3 there and 9 here"), "{error}");
    }

    #[test]
    fn what_is_no_matrix_half_written_or_of_another_form_is_named() {
        let place = tempfile::tempdir().unwrap();
        let error = Folder::open(place.path()).unwrap_err().to_string();
        assert!(error.contains("no environment.json"), "{error}");
        let environment = sample_environment();
        let folder = Folder::go_on(place.path(), &environment).unwrap();
        for (text, expected) in [
            ("{\"format\": 1, \"scen", "line 1 column"),
            ("", "EOF"),
            ("[]", "invalid"),
            ("{\"format\": 99, \"new\": true}", "form 99"),
            ("{\"format\": 1}", "missing field"),
            ("{\"format\": -1}", "-1"),
        ] {
            std::fs::write(place.path().join("runs/0001-x.json"), text).unwrap();
            let error = folder.documents().unwrap_err().to_string();
            assert!(error.contains("0001-x.json") && error.contains(expected), "{error}");
        }
        std::fs::write(place.path().join(ENVIRONMENT), "{").unwrap();
        let error = Folder::open(place.path()).unwrap_err().to_string();
        assert!(error.contains("environment.json: "), "{error}");
    }
}
