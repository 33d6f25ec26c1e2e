//! Builds the programs that go into images: static, so that they need nothing else there.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::command::{cargo, must, target_directory};

/// A program of this workspace that has an image of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Program {
    /// The package it is built from.
    pub(crate) package: &'static str,
    /// Its name.
    pub(crate) binary: &'static str,
    /// Its image's name, without the tag.
    pub(crate) image: &'static str,
    /// What the image's title and description say.
    pub(crate) title: &'static str,
    pub(crate) description: &'static str,
    /// What it is told to do when nobody says otherwise.
    pub(crate) command: &'static [&'static str],
}

/// Builds them with these eBPF programs, all at once, and says where they are.
pub(super) fn build(programs: &[Program], ebpf: &Path) -> Result<Vec<PathBuf>> {
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let mut command = cargo(["build", "--release", "--target", &target]);
    for program in programs {
        command.args(["-p", program.package, "--bin", program.binary]);
    }
    command
        .env("CARGO_ENCODED_RUSTFLAGS", "-Ctarget-feature=+crt-static")
        // The build looks for them beside itself, and a named target has a folder of its own.
        .env("OBIT_EBPF_OBJECT", ebpf);
    must(&mut command)?;
    let folder = target_directory()?.join(target).join("release");
    Ok(programs.iter().map(|program| folder.join(program.binary)).collect())
}
