//! Builds the kernel half with a chosen toolchain.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::environment::clean_command;
use super::plan::{Choice, Toolchain};
use crate::command::workspace_root;

const TARGET: &str = "bpfel-unknown-none";

/// Builds the object and says where it lies.
///
/// It gets a target directory of its own: the other compiler would throw away the workspace's results, and the lock would
/// let neither build while the other does.
pub(super) fn compile(choice: &Choice, target: &Path) -> Result<PathBuf> {
    let target = target.join("ebpf");
    let mut command = cargo(choice);
    command
        .current_dir(workspace_root())
        .args(["build", "--release", "--target", TARGET, "-Zbuild-std=core"])
        .args(["--package", "obit-ebpf", "--bin", "obit-ebpf", "--features", "programs"])
        .env("CARGO_TARGET_DIR", &target)
        .env("CARGO_ENCODED_RUSTFLAGS", flags(&choice.linker).join("\u{1f}"));
    let (success, errors) = run(&mut command)?;
    if !success {
        if names_another_llvm(&errors) {
            bail!(
                "{} was built against another LLVM than the {} of {}. Remove it, then run this command again: it \
                 builds one that fits",
                choice.linker.display(),
                choice.llvm,
                choice.toolchain
            );
        }
        bail!(
            "the kernel half does not build with {}: see the compiler's message above",
            choice.toolchain
        );
    }
    Ok(target.join(TARGET).join("release/obit-ebpf"))
}

fn cargo(choice: &Choice) -> Command {
    match choice.toolchain {
        Toolchain::Nightly => {
            let mut command = clean_command("rustup");
            command.args(["run", "nightly", "cargo"]);
            command
        }
        Toolchain::Debian => {
            let mut command = clean_command("/usr/bin/cargo");
            command.env("RUSTC", "/usr/bin/rustc").env("RUSTC_BOOTSTRAP", "1");
            command
        }
    }
}

fn flags(linker: &Path) -> [String; 6] {
    [
        format!("-Clinker={}", linker.display()),
        "-Clink-arg=--btf".to_owned(),
        "-Cdebuginfo=2".to_owned(),
        // The object names the files it was made from. Folders of this machine among them would make it another one elsewhere. rustc
        // runs in each package's own folder. The price: LLVM no longer finds those files, and the verifier's log names places without
        // the text of their lines. Leave it out to read such a log; the programs are the same.
        "-Zremap-cwd-prefix=/obit".to_owned(),
        // aya-ebpf asks it for the layout of `pt_regs`.
        "--cfg".to_owned(),
        format!("bpf_target_arch=\"{}\"", std::env::consts::ARCH),
    ]
}

/// Runs a command, passes its messages on line by line, and keeps them.
fn run(command: &mut Command) -> Result<(bool, String)> {
    let mut child = command
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run {:?}", command.get_program()))?;
    let mut kept = String::new();
    if let Some(stderr) = child.stderr.take() {
        for line in BufReader::new(stderr).lines() {
            let line = line.context("cannot read the compiler's messages")?;
            eprintln!("{line}");
            kept.push_str(&line);
            kept.push('\n');
        }
    }
    let status = child.wait().context("cannot wait for the compiler")?;
    Ok((status.success(), kept))
}

/// Whether a failed link says that the linker's LLVM cannot read the compiler's bitcode.
fn names_another_llvm(errors: &str) -> bool {
    const SIGNS: [&str; 5] = [
        "Invalid bitcode",
        "Unknown attribute kind",
        "Invalid record",
        "failure linking module",
        "error while loading shared libraries: libLLVM",
    ];
    SIGNS.iter().any(|sign| errors.contains(sign))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_linker_that_cannot_read_the_bitcode_is_told_from_a_program_that_does_not_build() {
        assert!(names_another_llvm(
            "error: linking with `/x/bpf-linker` failed\n Invalid record (Producer: 'LLVM23')"
        ));
        assert!(!names_another_llvm("error[E0425]: cannot find value `x` in this scope"));
    }

    #[test]
    fn the_linker_is_named_by_its_absolute_path() {
        assert_eq!(
            flags(Path::new("/home/me/.cargo/bin/bpf-linker"))[0],
            "-Clinker=/home/me/.cargo/bin/bpf-linker"
        );
    }
}
