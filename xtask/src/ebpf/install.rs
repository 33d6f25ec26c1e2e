//! Carries out one step of the plan, its output in sight.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::environment::clean_command;
use super::plan::{LINKER_VERSION, Step, Toolchain};
use crate::command::aside;
use crate::host::as_root;

/// Runs the step's command. `tools` is where a linker of our own goes: never over one the user installed.
pub(super) fn run(step: &Step, tools: &Path) -> Result<()> {
    let mut command = aside(command(step, tools)?);
    let status = command
        .status()
        .with_context(|| format!("cannot run {:?}", command.get_program()))?;
    if !status.success() {
        bail!("{:?} ended with {status}", command.get_program());
    }
    Ok(())
}

fn command(step: &Step, tools: &Path) -> Result<Command> {
    Ok(match step {
        Step::AddRustSrc => rustup(&["component", "add", "rust-src", "--toolchain", "nightly"]),
        Step::InstallNightly => rustup(&[
            "toolchain",
            "install",
            "nightly",
            "--profile",
            "minimal",
            "-c",
            "rust-src",
            "--no-self-update",
        ]),
        Step::AptUpdate => apt(&["update"])?,
        Step::AptInstall(packages) => {
            let mut command = apt(&["install", "--yes", "--no-install-recommends"])?;
            command.args(packages);
            command
        }
        Step::InstallLinker(llvm) => {
            // The Cargo that runs us; which one does not matter, the linker only has to load the right LLVM.
            let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
            let mut command = clean_command(cargo);
            command
                .env("LLVM_PREFIX", Toolchain::llvm_prefix(*llvm))
                .args([
                    "install",
                    "bpf-linker",
                    "--locked",
                    "--version",
                    LINKER_VERSION,
                    "--no-default-features",
                ])
                .arg("--features")
                .arg(format!("llvm-{llvm}"))
                .arg("--root")
                .arg(tools.join(format!("llvm-{llvm}")));
            command
        }
    })
}

/// rustup, told not to repeat a download that fails: another way follows.
fn rustup(arguments: &[&str]) -> Command {
    let mut command = clean_command("rustup");
    command.env("RUSTUP_MAX_RETRIES", "0").args(arguments);
    command
}

fn apt(arguments: &[&str]) -> Result<Command> {
    let mut command = as_root("apt-get")?;
    command
        .env("DEBIAN_FRONTEND", "noninteractive")
        .args(["-q", "-o", "Acquire::Retries=1"])
        .args(arguments);
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_linker_is_built_against_the_compilers_llvm_and_into_our_own_directory() {
        let command = command(&Step::InstallLinker(22), Path::new("/t/ebpf-tools")).unwrap();
        let arguments: Vec<_> = command.get_args().map(|argument| argument.to_string_lossy()).collect();
        let line = arguments.join(" ");
        assert!(line.contains("--no-default-features --features llvm-22"), "{line}");
        assert!(line.ends_with("--root /t/ebpf-tools/llvm-22"), "{line}");
        assert!(
            command.get_envs().any(|(name, value)| {
                name == "LLVM_PREFIX" && value.is_some_and(|value| value == "/usr/lib/llvm-22")
            })
        );
    }
}
