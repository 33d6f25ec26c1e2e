//! Programs run as nobody, with the capabilities that are named and no others.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// The user nobody, and its group.
pub(crate) const NOBODY: u32 = 65_534;

/// A folder of nobody's, with a copy of a program that it may run wherever the build lies.
pub(crate) struct Nobody {
    folder: TempDir,
    program: PathBuf,
}

impl Nobody {
    /// The binary of this package.
    pub(crate) fn with_obit() -> Self {
        Self::with(Path::new(env!("CARGO_BIN_EXE_obit")))
    }

    pub(crate) fn with(program: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
        let copy = folder.path().join("program");
        fs::copy(program, &copy).unwrap();
        chown(&folder, Some(NOBODY), Some(NOBODY)).expect("only root can become nobody: run this test as root");
        Self { folder, program: copy }
    }

    /// Where its socket is to be.
    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("obit.sock")
    }

    /// The program, with capabilities as `setpriv` spells them: "+bpf,+perfmon".
    pub(crate) fn command(&self, capabilities: &str) -> Command {
        let mut sets = vec!["-all"];
        sets.extend(Some(capabilities).filter(|it| !it.is_empty()));
        let sets = sets.join(",");
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .args(["--inh-caps", &sets, "--ambient-caps", &sets, "--bounding-set", &sets])
            .arg(&self.program)
            .env_remove("OBIT_SOCKET")
            .env_remove("RUST_LOG")
            .current_dir("/")
            .stdin(Stdio::null());
        command
    }
}
