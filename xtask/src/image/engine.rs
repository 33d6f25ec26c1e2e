//! Builds the images by a container engine, in a container: the way for machines without the toolchains.

use std::process::Command;

use anyhow::{Result, bail};
use clap::ValueEnum;

use super::program::Program;
use crate::command::{find_program, must, workspace_root};

/// A program that builds images from a `Containerfile`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Engine {
    Docker,
    Podman,
    Buildah,
}

impl Engine {
    fn program(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Podman => "podman",
            Self::Buildah => "buildah",
        }
    }

    /// What brings an image from this engine's store to where it is needed.
    fn next(self, image: &str) -> String {
        match self {
            Self::Docker => format!("kind load docker-image {image}, or docker tag and docker push"),
            Self::Podman => format!("podman save --format oci-archive --output obit.tar {image}, or podman push"),
            Self::Buildah => format!("buildah push {image} oci-archive:obit.tar, or buildah push to a registry"),
        }
    }
}

/// Builds these programs' images by this engine, from `deploy/Containerfile`; they are in the engine's own store then.
///
/// # Errors
/// When there is no such engine, or it fails.
pub(super) fn build(engine: Engine, programs: &[Program]) -> Result<()> {
    let name = engine.program();
    if find_program(name).is_none() {
        bail!(
            "there is no `{name}` in PATH. Install it, name another engine, or leave out `--engine`: then this machine's own toolchains \
             build the image, and no engine is needed"
        );
    }
    for program in programs {
        must(&mut command(engine, program))?;
    }
    for program in programs {
        let image = tagged(program);
        println!("{image} is in {name}'s store. Next: {}", engine.next(&image));
    }
    Ok(())
}

fn tagged(program: &Program) -> String {
    format!("{}:{}", program.image, env!("CARGO_PKG_VERSION"))
}

fn command(engine: Engine, program: &Program) -> Command {
    let mut command = Command::new(engine.program());
    command
        .args(["build", "--file", "deploy/Containerfile", "--target", program.image])
        .args(["--tag", &tagged(program), "."])
        .current_dir(workspace_root());
    command
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::command::spell;
    use crate::image::program::PROGRAMS;

    #[test]
    fn every_program_is_a_stage_of_the_containerfile_that_starts_it_as_the_image_does() {
        let file = fs::read_to_string(workspace_root().join("deploy/Containerfile")).unwrap();
        for program in PROGRAMS {
            let line = spell(&command(Engine::Podman, &program));
            let stage = program.image;
            let expected = format!("podman build --file deploy/Containerfile --target {stage} --tag {stage}:0.1.0 .");
            assert_eq!(line, expected);
            let (_, after) = file
                .split_once(&format!("FROM scratch AS {stage}\n"))
                .expect("a stage of that name");
            let stage = after.split("\nFROM ").next().unwrap_or_default();
            let image = program.image("/nowhere".into());
            let has = |line: String| assert!(stage.contains(&line), "{line}");
            has(format!("USER {}\n", image.user));
            has(format!("ENTRYPOINT [\"/{}\"]\n", program.binary));
            has(format!("CMD [\"{}\"]", image.command.join("\", \"")));
            for (key, value) in &image.labels {
                has(format!("{key}=\"{value}\""));
            }
        }
    }

    #[test]
    fn an_engine_builds_with_the_oldest_rust_that_obit_is_for() {
        let file = fs::read_to_string(workspace_root().join("deploy/Containerfile")).unwrap();
        assert!(file.contains(&format!("rust:{}", env!("CARGO_PKG_RUST_VERSION"))));
    }
}
