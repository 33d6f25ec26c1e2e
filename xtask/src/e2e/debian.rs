//! What the cluster takes from Debian or Ubuntu: packages downloaded and unpacked, never installed, so that nothing of this machine
//! is configured or started. They come from wherever this machine has its own packages from.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::parts::{Part, remove};
use crate::command::{aside, find_program, must, output, run};
use crate::host::as_root;

/// Where they are unpacked, below the folder of all parts.
const FOLDER: &str = "deb";

/// The packages: what keeps the cluster's state, what runs containers, and what gives pods their networks.
const PACKAGES: [&str; 4] = ["etcd-server", "containerd", "runc", "containernetworking-plugins"];

/// The programs of theirs that are run, all of which must find their libraries on this machine.
const PROGRAMS: [&str; 9] = [
    "usr/bin/etcd",
    "usr/bin/containerd",
    "usr/bin/containerd-shim-runc-v2",
    "usr/bin/ctr",
    "usr/bin/runc",
    "usr/lib/cni/bridge",
    "usr/lib/cni/host-local",
    "usr/lib/cni/loopback",
    "usr/lib/cni/tuning",
];

/// What is unpacked.
pub(super) fn part() -> Part {
    Part {
        name: "debian",
        recipe: format!("{} of {}\n", PACKAGES.join(" "), system()),
        makes: vec![FOLDER.into()],
    }
}

/// Downloads and unpacks them into `folder`.
///
/// # Errors
/// This is neither Debian nor Ubuntu, or the packages cannot be had, or lack a library here.
pub(super) fn fetch(folder: &Path) -> Result<()> {
    ensure!(
        find_program("apt-get").is_some() && find_program("dpkg-deb").is_some(),
        "containerd, runc, etcd and the CNI plugins are taken from packages of Debian or Ubuntu, and this machine has no apt-get and \
         dpkg-deb. Next: run it on such a machine, or against a cluster of your own with --kubeconfig"
    );
    let downloads = folder.join("packages");
    fs::create_dir_all(&downloads).with_context(|| format!("cannot create {}", downloads.display()))?;
    if !run(&mut download(&downloads))?.success() {
        eprintln!("   fetching apt's lists: those that are here are too old, or there are none");
        must(aside(as_root("apt-get")?).args(["update", "-qq"]))?;
        must(&mut download(&downloads)).with_context(|| format!("the packages {}", PACKAGES.join(", ")))?;
    }
    let root = folder.join(FOLDER);
    for package in files(&downloads)? {
        // From its folder, as what is shown of it is then short enough to be read.
        let package = package.strip_prefix(folder).unwrap_or(&package);
        let mut unpack = aside(Command::new("dpkg-deb"));
        must(unpack.current_dir(folder).arg("-x").arg(package).arg(FOLDER))?;
    }
    remove(&downloads)?;
    // Debian has it in both folders, and may one day have it in this one alone.
    let (runc, elsewhere) = (root.join("usr/bin/runc"), root.join("usr/sbin/runc"));
    if !runc.exists() && elsewhere.exists() {
        std::os::unix::fs::symlink("../sbin/runc", &runc).context("the link to runc")?;
    }
    PROGRAMS.iter().try_for_each(|program| check(&root.join(program)))
}

fn download(folder: &Path) -> Command {
    let mut command = aside(Command::new("apt-get"));
    // As root apt downloads as a user of its own, who may not write here.
    command
        .current_dir(folder)
        .args(["-qq", "-o", "APT::Sandbox::User=root"]);
    command.arg("download").args(PACKAGES);
    command
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let paths = entries.map(|entry| Ok(entry?.path()));
    paths.collect()
}

/// Whether the program is there and finds its libraries: packages that are unpacked bring along none of what they depend on.
fn check(program: &Path) -> Result<()> {
    ensure!(program.is_file(), "the packages have no {}", program.display());
    // For a program without libraries ldd fails: then none is missing.
    let libraries = output(Command::new("ldd").arg(program)).unwrap_or_default();
    let missing = missing(&libraries);
    ensure!(
        missing.is_empty(),
        "{} needs {}, which this machine does not have. Next: install the package of that library",
        program.display(),
        missing.join(" and ")
    );
    Ok(())
}

/// The libraries that `ldd` did not find.
fn missing(ldd: &str) -> Vec<&str> {
    let lines = ldd.lines().filter_map(|line| line.trim().strip_suffix(" => not found"));
    lines.collect()
}

/// Which release the packages are of, so that those of the next one are fetched when the machine is upgraded.
fn system() -> String {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    format!("{} {}", release_in(&release), std::env::consts::ARCH)
}

/// `debian 12` from `/etc/os-release`.
fn release_in(text: &str) -> String {
    let value = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        line.unwrap_or_default().trim_matches('"').to_owned()
    };
    format!("{} {}", value("ID"), value("VERSION_ID"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_that_are_not_found_are_named() {
        let ldd = "\tlinux-vdso.so.1 (0x00007fceb4722000)\n\tlibseccomp.so.2 => not found\n\
                   \tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007fceb450e000)\n";
        assert_eq!(missing(ldd), ["libseccomp.so.2"]);
        assert!(missing("\tnot a dynamic executable\n").is_empty());
    }

    #[test]
    fn the_release_is_told_in_two_words() {
        let debian = "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nVERSION_ID=\"12\"\nID=debian\n";
        assert_eq!(release_in(debian), "debian 12");
        assert_eq!(
            release_in("ID=ubuntu\nVERSION_ID=\"24.04\"\nID_LIKE=debian\n"),
            "ubuntu 24.04"
        );
    }
}
