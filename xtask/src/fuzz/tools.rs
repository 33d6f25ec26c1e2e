//! What builds the fuzz targets: `cargo fuzz`, a C++ compiler, and a toolchain.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::command::{Purpose, aside, must, output, target_directory, workspace_root};
use crate::ebpf::clean_command;
use crate::host;

/// The version that is installed where there is none.
const CARGO_FUZZ_VERSION: &str = "0.13.2";

/// The toolchain and the checks it builds in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Toolchain {
    /// rustup's nightly, every access to memory checked.
    Nightly,
    /// rustup's nightly, which came without the library for that.
    NightlyUnchecked,
    /// The one that runs us: it measures coverage, and checks no access to memory.
    Own,
}

/// Everything needed, found.
#[derive(Debug)]
pub(crate) struct Tools {
    cargo_fuzz: PathBuf,
    toolchain: Toolchain,
    /// Where all of it lies: built targets, inputs, what they print.
    folder: PathBuf,
    /// The platform built for, by its triple.
    platform: String,
}

impl Tools {
    /// Finds what is needed, and installs what is missing, saying what and why.
    ///
    /// # Errors
    /// Something is missing and cannot be installed: names it and the next step.
    pub(crate) fn find_or_install() -> Result<Self> {
        host::install_cpp_compiler()?;
        let target = target_directory()?;
        let toolchain = toolchain();
        if toolchain != Toolchain::Nightly {
            eprintln!("   without AddressSanitizer, which only nightly has: `rustup toolchain install nightly`");
        }
        let version = output(toolchain.command("rustc").arg("-vV")).context("no Rust compiler runs here")?;
        let platform = version.lines().find_map(|line| line.strip_prefix("host: "));
        Ok(Self {
            cargo_fuzz: cargo_fuzz(&target.join("fuzz-tools"))?,
            toolchain,
            folder: target.join("fuzz"),
            platform: platform.context("`rustc -vV` names no host")?.to_owned(),
        })
    }

    /// Builds these targets.
    ///
    /// They get a target directory of their own, as everything in it is built to be watched.
    pub(super) fn build(&self, targets: &[String], purpose: Purpose) -> Result<()> {
        let no_object = self.no_object()?;
        for target in targets {
            let mut command = aside(self.toolchain.command(&self.cargo_fuzz));
            command
                .current_dir(workspace_root())
                .env("OBIT_EBPF_OBJECT", &no_object)
                .args(["fuzz", "build", target, "--features", "libfuzzer"])
                .args(["--sanitizer", self.toolchain.sanitizer()])
                .args(["--target", &self.platform, "--target-dir"])
                .arg(&self.folder);
            must(purpose.tell(&mut command))?;
        }
        Ok(())
    }

    /// An empty object of the kernel half. No target loads it, and without one named the daemon's library would be built
    /// again each time something is written beside it.
    fn no_object(&self) -> Result<PathBuf> {
        let path = self.folder("object", "")?.join("none.o");
        if !path.exists() {
            std::fs::write(&path, []).with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(path)
    }

    /// Where a built target lies.
    pub(super) fn binary(&self, target: &str) -> PathBuf {
        self.folder.join(&self.platform).join("release").join(target)
    }

    /// A folder for what is not kept, made if there is none.
    pub(super) fn folder(&self, what: &str, target: &str) -> Result<PathBuf> {
        let folder = self.folder.join(what).join(target);
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        Ok(folder)
    }
}

impl Toolchain {
    /// A program of this toolchain, or one that calls those.
    fn command(self, program: impl AsRef<Path>) -> Command {
        match self {
            Self::Nightly | Self::NightlyUnchecked => {
                let mut command = clean_command("rustup");
                command.args(["run", "nightly"]).arg(program.as_ref());
                command
            }
            Self::Own => Command::new(program.as_ref()),
        }
    }

    fn sanitizer(self) -> &'static str {
        match self {
            Self::Nightly => "address",
            Self::NightlyUnchecked | Self::Own => "none",
        }
    }
}

/// Nightly where it is or can be had, for its AddressSanitizer; what runs us otherwise.
fn toolchain() -> Toolchain {
    if output(clean_command("rustup").arg("--version")).is_none() {
        return Toolchain::Own;
    }
    if nightly_sysroot().is_none() {
        eprintln!(
            "   rustup has no nightly toolchain, which checks each access to memory while fuzzing: installing it"
        );
        let mut install = aside(clean_command("rustup"));
        install
            // A download that fails is not tried again: there is another way.
            .env("RUSTUP_MAX_RETRIES", "0")
            .args([
                "toolchain",
                "install",
                "nightly",
                "--profile",
                "minimal",
                "--no-self-update",
            ]);
        if let Err(error) = must(&mut install) {
            eprintln!("   that did not work ({error:#})");
        }
    }
    match nightly_sysroot() {
        Some(sysroot) if has_address_sanitizer(&sysroot) => Toolchain::Nightly,
        Some(_) => Toolchain::NightlyUnchecked,
        None => Toolchain::Own,
    }
}

/// Where rustup's nightly lies, if it is installed.
fn nightly_sysroot() -> Option<PathBuf> {
    // By `rustup which`, never `rustc +nightly`: with auto-install on, the latter starts a download.
    let rustc = output(clean_command("rustup").args(["which", "--toolchain", "nightly", "rustc"]))?;
    let sysroot = output(clean_command(rustc.trim()).args(["--print", "sysroot"]))?;
    Some(PathBuf::from(sysroot.trim()))
}

/// Whether the library that checks each access to memory came with it; its name says which toolchain it is of.
fn has_address_sanitizer(sysroot: &Path) -> bool {
    let platforms = std::fs::read_dir(sysroot.join("lib/rustlib")).into_iter().flatten();
    platforms
        .flatten()
        .filter_map(|platform| std::fs::read_dir(platform.path().join("lib")).ok())
        .flatten()
        .flatten()
        .any(|file| file.file_name().as_encoded_bytes().ends_with(b"_rt.asan.a"))
}

/// Our own `cargo-fuzz`, never over one the user installed.
fn cargo_fuzz(folder: &Path) -> Result<PathBuf> {
    let program = folder.join("bin/cargo-fuzz");
    let wanted = format!("cargo-fuzz {CARGO_FUZZ_VERSION}");
    if output(clean_command(&program).arg("--version")).is_some_and(|version| version.trim() == wanted) {
        return Ok(program);
    }
    eprintln!("   `{wanted}` is missing: it builds fuzz targets so that their coverage is measured; installing it");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut install = aside(clean_command(cargo));
    install
        .args(["install", "cargo-fuzz", "--locked", "--version", CARGO_FUZZ_VERSION])
        .arg("--root")
        .arg(folder);
    must(&mut install).context("install it by hand, or see whether cargo reaches its registry")?;
    Ok(program)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nightly_without_the_sanitizers_library_is_not_asked_for_it() {
        let sysroot = tempfile::tempdir().unwrap();
        assert!(!has_address_sanitizer(sysroot.path()));
        let libraries = sysroot.path().join("lib/rustlib/x/lib");
        std::fs::create_dir_all(&libraries).unwrap();
        std::fs::write(libraries.join("librustc-nightly_rt.tsan.a"), "").unwrap();
        assert!(!has_address_sanitizer(sysroot.path()));
        std::fs::write(libraries.join("librustc-nightly_rt.asan.a"), "").unwrap();
        assert!(has_address_sanitizer(sysroot.path()));
    }

    #[test]
    fn only_a_toolchain_with_the_library_is_asked_to_check_memory() {
        assert_eq!(Toolchain::Nightly.sanitizer(), "address");
        assert_eq!(Toolchain::NightlyUnchecked.sanitizer(), "none");
        assert_eq!(Toolchain::Own.sanitizer(), "none");
    }
}
