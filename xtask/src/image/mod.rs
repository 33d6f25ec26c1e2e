//! `image`: obit's programs as images for containers.
//!
//! [`build`] makes a static program, [`pack`] puts it into an image without anything else.

mod archive;
mod blob;
mod build;
mod name;
mod pack;
mod program;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;

pub(crate) use self::build::Program;
pub(crate) use self::name::Name;
pub(crate) use self::pack::{Image, Packed, pack};
use crate::command::target_directory;
use crate::ebpf;

/// The monitor, as a DaemonSet runs it.
pub(crate) const MONITOR: Program = Program {
    package: "obit-monitor",
    binary: "obit",
    image: "obit",
    title: "obit",
    description: "Tells the applications of a Kubernetes node which of their peers are dead",
    command: &["monitor"],
};

/// Who a program in an image runs as when nobody says otherwise: "nonroot" of the images without a distribution.
const USER: &str = "65532:65532";

/// What to make.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The folder the images go to [default: target/images]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Makes the images that were asked for.
pub(crate) fn image(arguments: &Arguments) -> Result<()> {
    let out = match &arguments.out {
        Some(out) => out.clone(),
        None => folder()?,
    };
    for packed in images(&[MONITOR], &out)? {
        println!(
            "{} {} bytes {} {}",
            packed.name.full(),
            packed.bytes,
            packed.digest,
            packed.path.display()
        );
    }
    Ok(())
}

/// Where images go when nobody says otherwise: `<target>/images`.
pub(crate) fn folder() -> Result<PathBuf> {
    Ok(target_directory()?.join("images"))
}

/// Builds these programs and packs each into `<out>/<image>-<version>.tar`.
///
/// # Errors
/// When something does not build, or cannot be packed: names it.
pub(crate) fn images(programs: &[Program], out: &Path) -> Result<Vec<Packed>> {
    let ebpf = ebpf::build().context("the eBPF programs")?;
    let built = build::build(programs, &ebpf.path)?;
    let packed = programs.iter().zip(built).map(|(program, path)| {
        let image = describe(program, path);
        pack(&image, &out.join(format!("{}-{}.tar", program.image, image.name.tag)))
    });
    packed.collect()
}

/// The image of a program of this workspace that was built there.
fn describe(program: &Program, built: PathBuf) -> Image {
    let label = |key: &str, value: &str| (format!("org.opencontainers.image.{key}"), value.to_owned());
    Image {
        // All packages of the workspace have one version.
        name: Name::new(program.image, env!("CARGO_PKG_VERSION")),
        program: built,
        command: program.command.iter().map(|&word| word.to_owned()).collect(),
        user: USER.to_owned(),
        labels: BTreeMap::from([
            label("title", program.title),
            label("description", program.description),
            label("version", env!("CARGO_PKG_VERSION")),
            label("licenses", env!("CARGO_PKG_LICENSE")),
            label("source", env!("CARGO_PKG_REPOSITORY")),
        ]),
    }
}

#[cfg(test)]
mod tests;
