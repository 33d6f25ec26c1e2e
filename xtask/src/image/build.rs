//! Builds the programs that go into images: static, so that they need nothing else there, and the same bytes wherever they are built.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::program::{PROGRAMS, Program};
use crate::command::{Purpose, cargo, must, workspace_root};

/// Builds these programs at once, so that what both need is compiled once, and says where they are. What is built goes below this target
/// folder, `ebpf` is the object that the monitor embeds.
pub(super) fn build(programs: &[Program], ebpf: &Path, target: &Path, purpose: Purpose) -> Result<Vec<PathBuf>> {
    let triple = triple();
    let mut command = cargo([
        "build",
        "--profile",
        "image",
        "--locked",
        "--target",
        &triple,
        "--target-dir",
    ]);
    command.arg(target);
    command.args(selected());
    command.args(programs.iter().flat_map(|program| ["--bin", program.binary]));
    let flags = flags(&Folders::find(target)?)?;
    command
        // Not added to the user's own flags, but in their place: an image does not depend on them. With a target named they are not
        // for build scripts and procedural macros, which cannot be static.
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"))
        // The build looks for it beside itself, and a named target has a folder of its own.
        .env("OBIT_EBPF_OBJECT", ebpf);
    must(purpose.tell(&mut command))?;
    let folder = target.join(triple).join("image");
    Ok(programs.iter().map(|program| folder.join(program.binary)).collect())
}

/// The packages that Cargo is told of: all that have an image, whichever programs are built. Features are those of all packages that
/// are told of, so that a program is the same bytes with others and without them.
pub(super) fn selected<'a>() -> impl Iterator<Item = &'a str> {
    PROGRAMS.iter().flat_map(|program| ["-p", program.package])
}

/// The target: this machine's processor, and glibc, which every toolchain has. Named although it is what rustc would choose: see `build`.
pub(super) fn triple() -> String {
    format!("{}-unknown-linux-gnu", std::env::consts::ARCH)
}

/// The folders of this machine whose names would otherwise stand in a program, in the places of its panics. The workspace's own is not
/// among them: Cargo calls its files by names that begin there, and copies of it share what is built of others' packages.
struct Folders {
    cargo_home: PathBuf,
    target: PathBuf,
    /// Where the sources of the standard library lie, for who has them, and what they are called for who has them not.
    library: (PathBuf, String),
}

impl Folders {
    fn find(target: &Path) -> Result<Self> {
        let cargo_home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
        let cargo_home = cargo_home.or_else(|| Some(std::env::home_dir()?.join(".cargo")));
        let sysroot = rustc(&["--print", "sysroot"])?;
        let commit = version("commit-hash: ")?;
        Ok(Self {
            cargo_home: cargo_home.context("neither CARGO_HOME nor HOME is set")?,
            target: target.to_path_buf(),
            library: (
                Path::new(sysroot.trim()).join("lib/rustlib/src/rust"),
                format!("/rustc/{commit}"),
            ),
        })
    }
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

fn flags(folders: &Folders) -> Result<Vec<String>> {
    let mut flags = vec!["-Ctarget-feature=+crt-static".to_owned()];
    let names = [
        (&folders.cargo_home, "/cargo"),
        (&folders.target, "/target"),
        (&folders.library.0, &folders.library.1),
    ];
    for (folder, name) in names {
        let folder = folder
            .to_str()
            .with_context(|| format!("{} is no UTF-8", folder.display()))?;
        flags.push(format!("--remap-path-prefix={folder}={name}"));
    }
    Ok(flags)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_this_machines_folders_are_replaced() {
        let folders = Folders {
            cargo_home: "/home/me/.cargo".into(),
            target: "/home/me/obit/target".into(),
            library: ("/toolchain/lib/rustlib/src/rust".into(), "/rustc/abc".to_owned()),
        };
        assert_eq!(
            flags(&folders).unwrap(),
            [
                "-Ctarget-feature=+crt-static",
                "--remap-path-prefix=/home/me/.cargo=/cargo",
                "--remap-path-prefix=/home/me/obit/target=/target",
                "--remap-path-prefix=/toolchain/lib/rustlib/src/rust=/rustc/abc",
            ]
        );
    }
}
