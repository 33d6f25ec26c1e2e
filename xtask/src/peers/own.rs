//! Peers whose sources are in `lab/peers`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::command::{Purpose, cargo, find_program, run, spell, target_directory, workspace_root};

/// Builds the peers in Go.
pub(super) fn go() -> Result<()> {
    let program = cleared("obit-lab-go")?;
    if find_program("go").is_none() {
        eprintln!(
            "No `go` here, so that the lab's peers in Go are absent: install Go 1.26 or later to have them (https://go.dev/dl)"
        );
        return Ok(());
    }
    let mut go = Command::new("go");
    go.current_dir(workspace_root().join("lab/peers/go"))
        .args(["build", "-trimpath", "-o"])
        .arg(&program)
        .arg(".");
    if !run(&mut go)?.success() {
        eprintln!("The lab's peers in Go are absent: `{}` failed, see above", spell(&go));
    }
    Ok(())
}

/// Builds ginepro's peer, in a target folder of its own: its tonic is not the workspace's.
pub(super) fn ginepro(purpose: Purpose) -> Result<()> {
    let program = cleared("obit-lab-ginepro")?;
    let folder = target_directory()?.join("ginepro");
    let mut build = cargo(["build", "--release", "--locked", "--manifest-path"]);
    build
        .arg(workspace_root().join("lab/peers/ginepro/Cargo.toml"))
        .arg("--target-dir")
        .arg(&folder);
    if !run(purpose.tell(&mut build))?.success() {
        eprintln!("ginepro is absent: `{}` failed, see above", spell(&build));
        return Ok(());
    }
    let built = folder.join("release/obit-lab-ginepro");
    copy(&built, &program)
}

/// Where a peer goes, beside the lab. What an older tree had put there would be measured in its place: it is removed.
pub(super) fn cleared(program: &str) -> Result<PathBuf> {
    let program = target_directory()?.join("release").join(program);
    let _ = std::fs::remove_file(&program);
    Ok(program)
}

/// Puts a program beside the lab.
pub(super) fn copy(from: &Path, to: &Path) -> Result<()> {
    let copied = std::fs::copy(from, to);
    copied.with_context(|| format!("copy {} to {}", from.display(), to.display()))?;
    Ok(())
}
