//! `image`: obit's programs as images for containers.
//!
//! [`build`] makes a static program, [`mod@pack`] puts it into an image without anything else, [`sbom`] says what it consists of, [`twice`]
//! whether it depends on where it was built. [`engine`] is the other way, in a container.

mod archive;
mod blob;
mod build;
mod engine;
mod name;
mod pack;
mod program;
mod report;
mod sbom;
mod static_elf;
mod twice;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;

pub(crate) use self::name::Name;
pub(crate) use self::pack::{Image, Packed, pack};
pub(crate) use self::program::{EXAMPLE, MONITOR, Program};
use crate::command::{Purpose, target_directory};
use crate::ebpf;

/// What to make.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The example application's image, too
    #[arg(long)]
    example: bool,
    /// The folder the images go to [default: target/images]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Builds everything once more, elsewhere, and fails when an image is not the same then
    #[arg(long)]
    twice: bool,
    /// Builds in a container, with `deploy/Containerfile`, into this engine's own store
    #[arg(long, value_name = "ENGINE", conflicts_with_all = ["out", "twice"])]
    engine: Option<engine::Engine>,
}

/// Makes the images that were asked for.
pub(crate) fn image(arguments: &Arguments) -> Result<()> {
    let programs: &[_] = if arguments.example {
        &[MONITOR, EXAMPLE]
    } else {
        &[MONITOR]
    };
    if let Some(engine) = arguments.engine {
        return engine::build(engine, programs);
    }
    let out = match &arguments.out {
        Some(out) => out.clone(),
        None => folder()?,
    };
    let packed = images(programs, &out, Purpose::Measure)?;
    if arguments.twice {
        twice::compare(&packed, arguments.example)?;
    }
    print!("{}", report::report(&packed));
    if arguments.twice {
        println!("\nBuilt twice, in different folders: the same.");
    }
    Ok(())
}

/// Where images go when nobody says otherwise: `<target>/images`.
pub(crate) fn folder() -> Result<PathBuf> {
    Ok(target_directory()?.join("images"))
}

/// Builds these programs and packs each into `<out>/<image>-<version>.tar`, with what it consists of
/// beside it (`….cdx.json`).
///
/// # Errors
/// When something does not build, or cannot be packed: names it.
pub(crate) fn images(programs: &[Program], out: &Path, purpose: Purpose) -> Result<Vec<Packed>> {
    let ebpf = ebpf::build().context("the eBPF programs")?;
    let built = build::build(programs, &ebpf.path, &target_directory()?, purpose)?;
    let packed = programs.iter().zip(built).map(|(program, path)| {
        let image = program.image(path);
        let stem = out.join(format!("{}-{}", program.image, image.name.tag));
        let packed = pack(&image, &with_extension(&stem, "tar"))?;
        sbom::write(program, &image.program, &with_extension(&stem, "cdx.json"))
            .with_context(|| format!("what {} consists of", image.name))?;
        Ok(packed)
    });
    packed.collect()
}

/// Adds it after whatever dots the version has.
fn with_extension(stem: &Path, extension: &str) -> PathBuf {
    let mut path = stem.as_os_str().to_owned();
    path.push(".");
    path.push(extension);
    path.into()
}

#[cfg(test)]
mod tests;
