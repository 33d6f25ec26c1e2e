//! `test`: everything CI checks, stage by stage; a failed stage does not hide the next.

#[expect(
    dead_code,
    reason = "the last stage as soon as all cases have passed in one run that began with nothing built"
)]
mod e2e;
mod features;
mod fuzz;
mod lab;
mod public_api;
mod stages;
mod tally;
mod units;

use std::io::{BufRead, BufReader};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::command::{Purpose, cargo, metadata, run, spell};
use crate::peers::Source;
use crate::{ebpf, host, kernels};
pub(crate) use features::all as features_of_library;
pub(crate) use public_api::{Arguments as PublicApi, public_api};
use stages::Stages;
pub(crate) use tally::Tally;

/// The feature that a test target requires when it loads programs into the kernel or makes namespaces.
const KERNEL_TESTS: &str = "kernel-tests";

/// Runs every stage; the exit code tells whether all of them passed.
pub(crate) fn test() -> Result<ExitCode> {
    let (mut tally, mut stages) = (Tally::default(), Stages::start());
    stages.begin("formatting");
    tally.check("formatting", run(&mut cargo(["fmt", "--all", "--check"]))?.success());
    stages.begin("eBPF object");
    tally.outcome("eBPF object", &ebpf::build().map(drop));
    stages.begin("lints");
    // The lints look at the fuzz targets too, whose library is C++.
    if let Err(error) = host::install_cpp_compiler() {
        eprintln!("   {error:#}");
    }
    let lints = ["clippy", "--all-targets", "--all-features", "--", "-D", "warnings"];
    tally.check("lints", run(&mut cargo(lints))?.success());
    stages.begin("features of the library");
    features::check(&mut tally)?;
    stages.begin("docs");
    tally.check(
        "docs",
        run(cargo(["doc", "--no-deps", "--all-features"]).env("RUSTDOCFLAGS", "-D warnings"))?.success(),
    );
    stages.begin("public API of the library");
    public_api::check(&mut tally);
    stages.begin("unit, property, socket and doc tests");
    cargo_test(&mut tally, cargo(["test", "--no-fail-fast"]).args(features::all()?))?;
    stages.begin("fuzzing");
    fuzz::check(&mut tally)?;
    privileged(&mut tally, &mut stages)?;
    stages.begin("kernel tests on other kernels");
    if host::can_boot_machines() {
        kernels::stage(&mut tally);
    } else {
        eprintln!(
            "   skipped: qemu is not installed, and installing it needs root. Next: run `cargo xtask test` as root"
        );
        tally.skipped.extend(kernels::RELEASES.map(kernels::check_name));
    }
    stages.close();
    Ok(tally.close())
}

/// The stages that need root. Elsewhere every test of theirs is named as skipped.
fn privileged(tally: &mut Tally, stages: &mut Stages) -> Result<()> {
    stages.begin("kernel tests");
    if !host::is_root() {
        eprintln!("   skipped: they need root. Next: run `cargo xtask test` as root");
        for test in list_kernel_tests()? {
            tally.skipped.push(test);
        }
        tally.skipped.extend(lab::CHECKS.map(str::to_owned));
        tally.skipped.push(units::CHECK.to_owned());
        return Ok(());
    }
    host::install_lab_tools()?;
    Source::Nginx.provide(Purpose::Try)?;
    cargo_test(
        tally,
        kernel_tests()?.args(["--no-fail-fast", "--", "--test-threads=2"]),
    )?;
    stages.begin("short lab run");
    lab::check(tally)?;
    stages.begin("deployment");
    units::check(tally);
    Ok(())
}

/// `cargo test` of every target that requires [`KERNEL_TESTS`].
fn kernel_tests() -> Result<Command> {
    let metadata = metadata()?;
    let mut command = cargo(["test"]);
    // As in the stage before, so that nothing is built again but what has tests of this kind.
    command.args(features::all()?);
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let targets = package["targets"].as_array().into_iter().flatten();
        let names: Vec<_> = targets
            .filter(|target| needs_kernel(target))
            .filter_map(|it| it["name"].as_str())
            .collect();
        if let (Some(package), false) = (package["name"].as_str(), names.is_empty()) {
            // Not `-p`: other features of what both depend on would be chosen, and all of it compiled again.
            command.args(["--features", &format!("{package}/{KERNEL_TESTS}")]);
            command.args(names.iter().flat_map(|name| ["--test", name]));
        }
    }
    Ok(command)
}

fn needs_kernel(target: &Value) -> bool {
    target["required-features"]
        .as_array()
        .is_some_and(|features| features.iter().any(|name| name == KERNEL_TESTS))
}

fn list_kernel_tests() -> Result<Vec<String>> {
    let output = kernel_tests()?
        .args(["--", "--list"])
        .output()
        .context("cargo test --list")?;
    let listing = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(listing
        .lines()
        .filter_map(|line| line.strip_suffix(": test"))
        .map(str::to_owned)
        .collect())
}

/// Runs `cargo test`, showing what it prints and counting it.
fn cargo_test(tally: &mut Tally, command: &mut Command) -> Result<()> {
    let line = spell(command);
    eprintln!("\x1b[1m   $ {line}\x1b[0m");
    let failed_before = tally.failed.len();
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start `{line}`"))?;
    let output = child.stdout.take().context("the test runner's output")?;
    for line in BufReader::new(output).lines() {
        let line = line.context("what the test runner prints")?;
        println!("{line}");
        tally.read_line(&line);
    }
    if !child.wait()?.success() && tally.failed.len() == failed_before {
        tally.check(&format!("`{line}` (it did not build, or ended early)"), false);
    }
    Ok(())
}
