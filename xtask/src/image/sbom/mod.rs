//! What a program in an image consists of, as a CycloneDX document beside the image.
//!
//! [`tree`] reads what is linked, [`bom`] says it.

mod bom;
mod tree;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use self::bom::{Library, Parts};
use self::tree::Linked;
use super::blob::sha256;
use super::build::{release, selected, triple};
use super::program::{MONITOR, Program};
use crate::command::{cargo, output, spell, workspace_root};

/// Writes what this program, built there, consists of into `out`.
///
/// # Errors
/// When Cargo does not tell what is linked, or the file cannot be written.
pub(super) fn write(program: &Program, built: &Path, out: &Path) -> Result<()> {
    let mut linked = linked(program)?;
    let root = linked.packages.iter().find(|package| package.name == program.package);
    let root = root.context("the program is not linked with itself")?.clone();
    if *program == MONITOR {
        linked.absorb(embedded()?);
    }
    let lock = workspace_root().join("Cargo.lock");
    let lock = std::fs::read_to_string(&lock).with_context(|| format!("cannot read {}", lock.display()))?;
    let bytes = std::fs::read(built).with_context(|| format!("cannot read {}", built.display()))?;
    let document = bom::document(&Parts {
        root: &root,
        program: &sha256(&bytes),
        linked: &linked,
        checksums: &checksums(&lock)?,
        libraries: &libraries()?,
    });
    let text = format!("{document:#}\n");
    std::fs::write(out, text).with_context(|| format!("cannot write {}", out.display()))
}

/// What is linked into a program: what is needed at run time, for this target and with the features it is built with. Procedural macros
/// and build scripts leave nothing of themselves in it.
fn linked(program: &Program) -> Result<Linked> {
    let triple = triple();
    let arguments: Vec<&str> = selected().chain(["--target", &triple]).collect();
    tree::parse(&cargo_tree(&arguments)?, program.package)
}

/// What is linked into the eBPF object that the monitor embeds.
fn embedded() -> Result<Linked> {
    let printed = cargo_tree(&[
        "--target",
        "bpfel-unknown-none",
        "-p",
        "obit-ebpf",
        "--features",
        "programs",
    ])?;
    tree::parse(&printed, "obit-ebpf")
}

fn cargo_tree(arguments: &[&str]) -> Result<String> {
    let mut command = cargo([
        "tree",
        "--locked",
        "--edges",
        "normal,no-proc-macro",
        "--prefix",
        "depth",
        "--format",
        tree::FORMAT,
    ]);
    command.args(arguments);
    let output = command.output().context("cannot start cargo")?;
    ensure!(
        output.status.success(),
        "`{}` failed: {}",
        spell(&command),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    String::from_utf8(output.stdout).context("what `cargo tree` printed")
}

/// The checksums in a `Cargo.lock`, by name and version. What is in the workspace itself has none.
fn checksums(lock: &str) -> Result<BTreeMap<(String, String), String>> {
    let lock: toml::Table = lock.parse().context("Cargo.lock")?;
    let packages = lock
        .get("package")
        .and_then(toml::Value::as_array)
        .context("Cargo.lock names no package")?;
    let checksums = packages.iter().filter_map(|package| {
        let text = |key: &str| Some(package.get(key)?.as_str()?.to_owned());
        Some(((text("name")?, text("version")?), text("checksum")?))
    });
    Ok(checksums.collect())
}

/// What Cargo does not list: Rust's standard library, with rustc's version, and the C library it is linked with here.
fn libraries() -> Result<[Library; 2]> {
    let glibc = output(Command::new("getconf").arg("GNU_LIBC_VERSION"));
    let glibc = glibc.as_deref().and_then(|text| text.trim().strip_prefix("glibc "));
    Ok([
        Library {
            name: "rust-std",
            version: release()?,
            licence: "MIT OR Apache-2.0",
            repository: "https://github.com/rust-lang/rust",
        },
        Library {
            name: "glibc",
            version: glibc
                .context("`getconf GNU_LIBC_VERSION` does not tell the C library's version")?
                .to_owned(),
            licence: "LGPL-2.1-or-later",
            repository: "https://sourceware.org/git/glibc.git",
        },
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_of_a_registry_have_checksums_and_those_of_the_workspace_none() {
        let lock = "version = 4\n[[package]]\nname = \"own\"\nversion = \"0.1.0\"\n\
                    [[package]]\nname = \"dep\"\nversion = \"1.0.0\"\nchecksum = \"abc\"\n";
        let expected = (("dep".to_owned(), "1.0.0".to_owned()), "abc".to_owned());
        assert_eq!(checksums(lock).unwrap(), BTreeMap::from([expected]));
        assert!(checksums("version = 4").is_err());
    }

    #[test]
    fn the_monitor_is_linked_with_what_it_needs_and_not_with_what_builds_it() {
        let linked = linked(&MONITOR).unwrap();
        let has = |name: &str| linked.packages.iter().any(|package| package.name == name);
        assert!(has("obit-monitor") && has("aya") && has("tokio"));
        // A build script's, a procedural macro's, and a test's.
        assert!(!has("cc") && !has("syn") && !has("proptest"));
        assert!(
            embedded()
                .unwrap()
                .packages
                .iter()
                .any(|package| package.name == "aya-ebpf")
        );
    }
}
