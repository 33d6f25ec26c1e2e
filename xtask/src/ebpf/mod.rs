//! `build-ebpf`: turns `monitor-ebpf` into the object the daemon embeds.
//!
//! [`facts`] looks at the machine, [`plan`] decides (pure), [`install`] does what was decided, [`compile`] builds and
//! [`object`] reads the result.

mod compile;
mod environment;
mod facts;
mod install;
mod object;
mod plan;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

pub(crate) use self::environment::clean_command;
use self::facts::Facts;
use self::plan::Next;
use crate::command::target_directory;

/// The built object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Built {
    /// Where it lies: `<target>/obit-ebpf.o`.
    pub(crate) path: PathBuf,
    /// Its size in bytes.
    pub(crate) bytes: u64,
    /// The programs in it, by section name, e.g. `tp_btf/inet_sock_set_state`.
    pub(crate) programs: Vec<String>,
    /// Whether this call changed it.
    pub(crate) changed: bool,
}

/// Finds or installs a toolchain, builds the kernel half, and puts the object where `obit-monitor`'s build script finds
/// it, and prints what is in it. A second call without changes takes a second and leaves the object untouched.
///
/// # Errors
/// Names what is missing and how to install it, or carries the compiler's failure.
pub(crate) fn build() -> Result<Built> {
    let target = target_directory()?;
    let tools = target.join("ebpf-tools");
    let mut failed = Vec::new();
    loop {
        let facts = Facts::gather(&tools);
        match plan::next(&facts, &failed) {
            Next::Build(choice) => {
                let object = compile::compile(&choice, &target)?;
                return install_object(&object, &target);
            }
            Next::Do(step) => {
                eprintln!("build-ebpf: {step}");
                match install::run(&step, &tools) {
                    // A step that succeeded and changed nothing must not be tried for ever.
                    Ok(()) => failed.push(step),
                    Err(error) => {
                        eprintln!("build-ebpf: that did not work ({error:#}); looking for another way");
                        failed.push(step);
                    }
                }
            }
            Next::GiveUp(lacks) => {
                let list: String = lacks.iter().map(|lack| format!("\n  - {lack}")).collect();
                bail!("no toolchain for eBPF on this machine. Any one of these is enough:{list}");
            }
        }
    }
}

/// Prints what was built, for a person.
pub(crate) fn report(built: &Built) {
    let Built {
        path,
        bytes,
        programs,
        changed,
    } = built;
    let state = if *changed { "built" } else { "unchanged" };
    println!("{} ({bytes} bytes, {state})", path.display());
    for program in programs {
        println!("  {program}");
    }
}

/// Copies the object to its place, unless the same bytes are there already: a new modification time would rebuild the
/// daemon.
fn install_object(object: &Path, target: &Path) -> Result<Built> {
    let path = target.join("obit-ebpf.o");
    let bytes = std::fs::read(object).with_context(|| format!("cannot read {}", object.display()))?;
    let programs = object::programs(&bytes).with_context(|| format!("{} is no eBPF object", object.display()))?;
    if programs.is_empty() {
        bail!("{} has no programs in it", object.display());
    }
    let changed = std::fs::read(&path).ok().as_deref() != Some(bytes.as_slice());
    if changed {
        // Renamed into place, so that a build running at the same time embeds the old object or the new, never a half.
        let half = target.join(format!(".obit-ebpf.o.{}", std::process::id()));
        std::fs::write(&half, &bytes).with_context(|| format!("cannot write {}", half.display()))?;
        std::fs::rename(&half, &path).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(Built {
        path,
        bytes: bytes.len() as u64,
        programs,
        changed,
    })
}
