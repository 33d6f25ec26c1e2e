//! Decides how to get an eBPF toolchain: facts in, next step out. Pure.
//!
//! A toolchain is a compiler that may use unstable features, the sources of `core`, and a `bpf-linker` built against the
//! compiler's own LLVM. rustup's nightly comes first, then Debian's packages (`RUSTC_BOOTSTRAP=1` opens its compiler).

use std::fmt;
use std::path::{Path, PathBuf};

use super::facts::Facts;

/// The version of `bpf-linker` we install, and the LLVM versions it can be built for.
pub(super) const LINKER_VERSION: &str = "0.13.0";
const LINKER_LLVM: std::ops::RangeInclusive<u32> = 21..=23;

/// Debian's compiler, Cargo, and the sources of `core`.
pub(super) const DEBIAN_TOOLCHAIN: [&str; 3] = ["rustc-web", "cargo-web", "rust-web-src"];

/// What building `bpf-linker` against Debian's LLVM needs.
pub(super) fn llvm_packages(major: u32) -> [String; 2] {
    [format!("llvm-{major}-dev"), format!("libpolly-{major}-dev")]
}

/// Which compiler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Toolchain {
    /// rustup's nightly with `rust-src`.
    Nightly,
    /// `/usr/bin/cargo` and `/usr/bin/rustc` with `RUSTC_BOOTSTRAP=1`.
    Debian,
}

impl Toolchain {
    /// Where Debian puts an LLVM.
    pub(super) fn llvm_prefix(major: u32) -> PathBuf {
        Path::new("/usr/lib").join(format!("llvm-{major}"))
    }
}

impl fmt::Display for Toolchain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nightly => "rustup's nightly",
            Self::Debian => "Debian's rustc",
        })
    }
}

/// A `bpf-linker` on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LinkerFound {
    /// Absolute: Cargo's children may have another `PATH`.
    pub(super) path: PathBuf,
    /// The LLVM it loads; `None` if that is linked statically and cannot be told from outside.
    pub(super) llvm: Option<u32>,
}

/// A complete toolchain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Choice {
    /// The compiler.
    pub(super) toolchain: Toolchain,
    /// Its LLVM.
    pub(super) llvm: u32,
    /// The linker.
    pub(super) linker: PathBuf,
}

/// Something to install.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// `rustup component add rust-src --toolchain nightly`
    AddRustSrc,
    /// `rustup toolchain install nightly -c rust-src`
    InstallNightly,
    /// `apt-get update`
    AptUpdate,
    /// `apt-get install`
    AptInstall(Vec<String>),
    /// `cargo install bpf-linker`, against the LLVM in `/usr/lib/llvm-N`
    InstallLinker(u32),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AddRustSrc => {
                f.write_str("adding rust-src to rustup's nightly: `core` must be built for the bpf target")
            }
            Self::InstallNightly => {
                f.write_str("installing rustup's nightly with rust-src: `core` must be built for the bpf target")
            }
            Self::AptUpdate => f.write_str("fetching the package lists: they do not name the packages needed"),
            Self::AptInstall(packages) => write!(
                f,
                "installing {} with apt-get: a compiler for the bpf target and the LLVM its linker needs",
                packages.join(" ")
            ),
            Self::InstallLinker(llvm) => write!(
                f,
                "building bpf-linker {LINKER_VERSION} against LLVM {llvm}, the one the compiler uses (about a minute)"
            ),
        }
    }
}

/// One way to a toolchain that is not open, and what would open it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lack(pub(super) String);

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Next {
    /// Everything is there.
    Build(Choice),
    /// Install something, then look again.
    Do(Step),
    /// No way is open.
    GiveUp(Vec<Lack>),
}

/// The next step from these facts, never one of those already tried.
pub(super) fn next(facts: &Facts, tried: &[Step]) -> Next {
    // A toolchain that is complete beats any that would have to be installed.
    for (toolchain, llvm) in compilers(facts) {
        if let Some(linker) = linker_for(facts, llvm) {
            return Next::Build(Choice {
                toolchain,
                llvm,
                linker,
            });
        }
    }
    let candidates = rustup_steps(facts).into_iter().chain(debian_steps(facts));
    match candidates.into_iter().find(|step| !tried.contains(step)) {
        Some(step) => Next::Do(step),
        None => Next::GiveUp(lacks(facts)),
    }
}

/// The compilers that could build `core` now, the preferred one first.
fn compilers(facts: &Facts) -> impl Iterator<Item = (Toolchain, u32)> {
    let nightly = facts
        .nightly_llvm
        .filter(|_| facts.nightly_has_src)
        .map(|llvm| (Toolchain::Nightly, llvm));
    let debian = facts
        .debian_llvm
        .filter(|_| facts.debian_has_src)
        .map(|llvm| (Toolchain::Debian, llvm));
    nightly.into_iter().chain(debian)
}

/// A linker known to have this LLVM, else one that may have it. Never one known to have another.
fn linker_for(facts: &Facts, llvm: u32) -> Option<PathBuf> {
    let known = facts.linkers.iter().find(|linker| linker.llvm == Some(llvm));
    let possible = || facts.linkers.iter().find(|linker| linker.llvm.is_none());
    known.or_else(possible).map(|linker| linker.path.clone())
}

/// What would complete rustup's nightly.
fn rustup_steps(facts: &Facts) -> Vec<Step> {
    match (facts.rustup, facts.nightly_llvm, facts.nightly_has_src) {
        (false, ..) => Vec::new(),
        (true, None, _) => vec![Step::InstallNightly],
        (true, Some(_), false) => vec![Step::AddRustSrc],
        (true, Some(llvm), true) => linker_steps(facts, llvm),
    }
}

/// What would complete Debian's toolchain.
fn debian_steps(facts: &Facts) -> Vec<Step> {
    match facts.debian_llvm.filter(|_| facts.debian_has_src) {
        Some(llvm) => linker_steps(facts, llvm),
        None => apt_steps(facts, DEBIAN_TOOLCHAIN.map(str::to_owned).to_vec()),
    }
}

/// What would give this LLVM a linker.
fn linker_steps(facts: &Facts, llvm: u32) -> Vec<Step> {
    if !LINKER_LLVM.contains(&llvm) {
        return Vec::new();
    }
    if facts.llvm_dev.contains(&llvm) {
        return vec![Step::InstallLinker(llvm)];
    }
    apt_steps(facts, llvm_packages(llvm).to_vec())
}

/// `apt-get install`, after `apt-get update` if the lists do not know the packages.
fn apt_steps(facts: &Facts, packages: Vec<String>) -> Vec<Step> {
    if !facts.apt_usable {
        return Vec::new();
    }
    if packages.iter().all(|package| facts.apt_knows.contains(package)) {
        vec![Step::AptInstall(packages)]
    } else {
        vec![Step::AptUpdate]
    }
}

/// Every way, and what it lacks.
fn lacks(facts: &Facts) -> Vec<Lack> {
    let linker = |llvm: u32| {
        format!(
            "a bpf-linker for LLVM {llvm}: `cargo binstall bpf-linker`, or with LLVM {llvm}'s development files \
             `LLVM_PREFIX=/usr/lib/llvm-{llvm} cargo install bpf-linker --version {LINKER_VERSION} \
             --no-default-features --features llvm-{llvm}`"
        )
    };
    let nightly = match (facts.rustup, facts.nightly_llvm, facts.nightly_has_src) {
        (false, ..) => "rustup (https://rustup.rs), then `rustup toolchain install nightly -c rust-src`".to_owned(),
        (true, None, _) => {
            "`rustup toolchain install nightly -c rust-src`, then `cargo binstall bpf-linker`".to_owned()
        }
        (true, Some(_), false) => {
            "`rustup component add rust-src --toolchain nightly`, then `cargo binstall bpf-linker`".to_owned()
        }
        (true, Some(llvm), true) => format!("for rustup's nightly {}", linker(llvm)),
    };
    let debian = match facts.debian_llvm.filter(|_| facts.debian_has_src) {
        Some(llvm) => format!("for Debian's rustc {}", linker(llvm)),
        None => {
            let why = match (facts.apt_exists, facts.apt_usable) {
                (false, _) => " (this machine has no apt-get)",
                (true, false) => " (as root; or run this command again as root and it does so itself)",
                (true, true) => " (the package lists do not have them: a newer release of Debian does)",
            };
            format!("`apt-get install {}`{why}", DEBIAN_TOOLCHAIN.join(" "))
        }
    };
    vec![Lack(nightly), Lack(debian)]
}

#[cfg(test)]
mod tests;
