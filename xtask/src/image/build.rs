//! Builds the programs that go into images: static, so that they need nothing else there.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::program::Program;
use crate::command::{cargo, must, workspace_root};

/// Builds these programs at once, so that what both need is compiled once, and says where they are. What is built goes below this target
/// folder, `ebpf` is the object that the monitor embeds.
pub(super) fn build(programs: &[Program], ebpf: &Path, target: &Path) -> Result<Vec<PathBuf>> {
    let triple = triple();
    let mut command = cargo(["build", "--release", "--locked", "--target", &triple, "--target-dir"]);
    command.arg(target);
    command.args(
        programs
            .iter()
            .flat_map(|program| ["-p", program.package, "--bin", program.binary]),
    );
    command
        // Not added to the user's own flags, but in their place: an image does not depend on them. With a target named they are not
        // for build scripts and procedural macros, which cannot be static.
        .env("CARGO_ENCODED_RUSTFLAGS", "-Ctarget-feature=+crt-static")
        // The build looks for it beside itself, and a named target has a folder of its own.
        .env("OBIT_EBPF_OBJECT", ebpf);
    must(&mut command)?;
    let folder = target.join(triple).join("release");
    Ok(programs.iter().map(|program| folder.join(program.binary)).collect())
}

/// The target: this machine's processor, and glibc, which every toolchain has. Named although it is what rustc would choose: see `build`.
pub(super) fn triple() -> String {
    format!("{}-unknown-linux-gnu", std::env::consts::ARCH)
}

/// What rustc prints when it is asked this.
fn rustc(arguments: &[&str]) -> Result<String> {
    let program = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(program)
        .args(arguments)
        .current_dir(workspace_root())
        .output();
    let output = output.context("cannot start rustc")?;
    ensure!(
        output.status.success(),
        "`rustc {}` failed ({})",
        arguments.join(" "),
        output.status
    );
    String::from_utf8(output.stdout).context("what rustc printed")
}

/// The version of rustc.
pub(super) fn release() -> Result<String> {
    version("release: ")
}

/// What follows this in what rustc tells of its version.
fn version(key: &str) -> Result<String> {
    let text = rustc(&["-vV"])?;
    let value = text.lines().find_map(|line| line.strip_prefix(key));
    Ok(value
        .with_context(|| format!("`rustc -vV` has no line `{key}`"))?
        .to_owned())
}
