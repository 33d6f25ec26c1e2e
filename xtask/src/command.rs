//! Runs other programs: says what, streams what they print, and fails with the next step.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use anyhow::{Context, Result, bail};

/// The workspace's root folder.
pub(crate) fn workspace_root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest).to_path_buf()
}

/// The cargo that runs this xtask, in the workspace's root.
pub(crate) fn cargo(arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(workspace_root());
    command
}

/// What is built in the release profile or that of images for, and how much time its compiler may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Figures that are compared with others': as the profile says.
    Measure,
    /// Whether it works: hardly optimised, and nothing for a debugger, which takes about a quarter less to compile (the fuzz targets 330 s
    /// in place of 438, the lab 364 in place of 488).
    Try,
}

impl Purpose {
    /// Tells cargo of it.
    pub(crate) fn tell(self, cargo: &mut Command) -> &mut Command {
        match self {
            Self::Measure => cargo,
            Self::Try => cargo.envs(["RELEASE", "IMAGE"].into_iter().flat_map(|profile| {
                [("OPT_LEVEL", "1"), ("DEBUG", "0")]
                    .map(|(what, value)| (format!("CARGO_PROFILE_{profile}_{what}"), value))
            })),
        }
    }
}

/// What cargo says of the workspace's own packages.
pub(crate) fn metadata() -> Result<serde_json::Value> {
    let output = cargo(["metadata", "--format-version=1", "--no-deps"])
        .output()
        .context("cargo metadata")?;
    serde_json::from_slice(&output.stdout).context("what cargo metadata printed")
}

/// Where cargo puts what it builds, as it says itself.
pub(crate) fn target_directory() -> Result<PathBuf> {
    let metadata = metadata()?;
    let directory = metadata["target_directory"]
        .as_str()
        .context("cargo metadata names no target_directory")?;
    Ok(directory.into())
}

/// The command as a person would type it.
pub(crate) fn spell(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let mut line = words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
    if let Some((_, rest)) = line.split_once("/bin/cargo ") {
        line = format!("cargo {rest}");
    }
    line
}

/// Sends what the command prints to standard error: standard output is for results.
pub(crate) fn aside(mut command: Command) -> Command {
    command.stdout(std::io::stderr());
    command
}

/// Announces the command and runs it to its end.
pub(crate) fn run(command: &mut Command) -> Result<ExitStatus> {
    let line = spell(command);
    eprintln!("\x1b[1m   $ {line}\x1b[0m");
    command.status().with_context(|| format!("cannot start `{line}`"))
}

/// Like [`run`], and an error when the command fails.
pub(crate) fn must(command: &mut Command) -> Result<()> {
    let status = run(command)?;
    if !status.success() {
        bail!("`{}` failed ({status})", spell(command));
    }
    Ok(())
}

/// A command's standard output, if it ran and succeeded.
pub(crate) fn output(command: &mut Command) -> Option<String> {
    let output = command.output().ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The first of the `PATH`'s folders, or of the system's, that holds this program.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin", "/bin"].map(PathBuf::from);
    std::env::split_paths(&path)
        .chain(system)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}
