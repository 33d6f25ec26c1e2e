//! What this machine has: toolchains, linkers, packages. Only looks; decides nothing.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::environment::clean_command;
use super::object;
use super::plan::{DEBIAN_TOOLCHAIN, LinkerFound, Toolchain, llvm_packages};
use crate::command::output;
use crate::host::can_be_root;

/// What [`super::plan`] decides from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Facts {
    /// Whether `rustup` runs.
    pub(super) rustup: bool,
    /// LLVM's major version in rustup's nightly, where that is installed.
    pub(super) nightly_llvm: Option<u32>,
    /// Whether nightly has the `rust-src` component.
    pub(super) nightly_has_src: bool,
    /// LLVM's major version in Debian's `/usr/bin/rustc`, where that is installed with `/usr/bin/cargo`.
    pub(super) debian_llvm: Option<u32>,
    /// Whether the standard library's sources lie beside Debian's compiler.
    pub(super) debian_has_src: bool,
    /// Every `bpf-linker` found, the preferred one first.
    pub(super) linkers: Vec<LinkerFound>,
    /// LLVM versions whose development files are installed (`/usr/lib/llvm-N`).
    pub(super) llvm_dev: Vec<u32>,
    /// Whether `apt-get` exists and we are root, or may be by sudo.
    pub(super) apt_usable: bool,
    /// Whether `apt-get` exists.
    pub(super) apt_exists: bool,
    /// Which of the packages we might want the package lists know.
    pub(super) apt_knows: Vec<String>,
}

impl Facts {
    /// Looks at the machine. `tools` is where we install linkers of our own.
    pub(super) fn gather(tools: &Path) -> Self {
        let rustup = output(clean_command("rustup").arg("--version")).is_some();
        // Through `rustup run`, never `rustc +nightly`: with auto-install on, the latter starts a download.
        let nightly_rustc = rustup
            .then(|| output(clean_command("rustup").args(["which", "--toolchain", "nightly", "rustc"])))
            .flatten()
            .map(|path| PathBuf::from(path.trim()));
        let nightly_llvm = nightly_rustc.as_deref().and_then(llvm_of_rustc);
        let nightly_has_src = nightly_rustc.as_deref().is_some_and(has_sources);
        let debian_rustc = Path::new("/usr/bin/rustc");
        let debian_llvm = Path::new("/usr/bin/cargo")
            .exists()
            .then(|| llvm_of_rustc(debian_rustc))
            .flatten();
        let apt_exists = Path::new("/usr/bin/apt-get").exists();
        Self {
            rustup,
            nightly_llvm,
            nightly_has_src,
            debian_llvm,
            debian_has_src: has_sources(debian_rustc),
            linkers: linkers(tools),
            llvm_dev: (21..=23).filter(|major| has_llvm_dev(*major)).collect(),
            apt_usable: apt_exists && can_be_root(),
            apt_exists,
            apt_knows: if apt_exists { apt_knows() } else { Vec::new() },
        }
    }
}

fn llvm_of_rustc(rustc: &Path) -> Option<u32> {
    parse_llvm(&output(clean_command(rustc).arg("-vV"))?)
}

/// The major version in `rustc -vV`'s line `LLVM version: 22.1.8`.
fn parse_llvm(version: &str) -> Option<u32> {
    let line = version.lines().find_map(|line| line.strip_prefix("LLVM version: "))?;
    line.split('.').next()?.parse().ok()
}

fn has_sources(rustc: &Path) -> bool {
    output(clean_command(rustc).args(["--print", "sysroot"])).is_some_and(|sysroot| {
        Path::new(sysroot.trim())
            .join("lib/rustlib/src/rust/library/core/src/lib.rs")
            .exists()
    })
}

fn has_llvm_dev(major: u32) -> bool {
    let prefix = Toolchain::llvm_prefix(major);
    // Both packages of `llvm_packages`: the linker's own build fails late and cryptically without Polly.
    prefix.join("bin/llvm-config").exists() && prefix.join("lib/libPolly.a").exists()
}

fn linkers(tools: &Path) -> Vec<LinkerFound> {
    let own = (21..=23).map(|major| tools.join(format!("llvm-{major}/bin")));
    let home = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::home_dir().map(|home| home.join(".cargo")))
        .map(|home| home.join("bin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut found: Vec<LinkerFound> = Vec::new();
    for directory in own.chain(home).chain(std::env::split_paths(&path)) {
        let path = directory.join("bpf-linker");
        let runs = || output(clean_command(&path).arg("--version")).is_some();
        if path.is_absolute() && found.iter().all(|known| known.path != path) && path.exists() && runs() {
            let llvm = std::fs::read(&path).ok().and_then(|bytes| object::llvm_linked(&bytes));
            found.push(LinkerFound { path, llvm });
        }
    }
    found
}

/// The packages we might want that have a candidate in the package lists.
fn apt_knows() -> Vec<String> {
    let mut wanted: Vec<String> = DEBIAN_TOOLCHAIN.map(str::to_owned).to_vec();
    wanted.extend((21..=23).flat_map(llvm_packages));
    output(
        Command::new("apt-cache")
            .args(["show", "--no-all-versions"])
            .args(&wanted),
    )
    .map_or_else(
        // With an unknown name among them `apt-cache show` fails; ask one by one then.
        || {
            wanted
                .iter()
                .filter(|name| output(Command::new("apt-cache").args(["show", name])).is_some())
                .cloned()
                .collect()
        },
        |_| wanted.clone(),
    )
}

#[cfg(test)]
mod tests {
    use super::parse_llvm;

    #[test]
    fn the_llvm_of_a_compiler_is_read_from_its_version() {
        assert_eq!(
            parse_llvm("rustc 1.96.0\nhost: x\nrelease: 1.96.0\nLLVM version: 22.1.8\n"),
            Some(22)
        );
        assert_eq!(parse_llvm("rustc 1.96.0\n"), None);
    }
}
