//! The programs of this workspace that have images.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::{Image, Name};

/// Who a program runs as when nobody says otherwise: "nonroot" of the images without a distribution. The monitor's DaemonSet does say
/// otherwise, because the capabilities that a pod adds are only for root; see `deploy/base/daemonset.yaml`.
const USER: &str = "65532:65532";

/// A program that has an image of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Program {
    /// The package it is built from.
    pub(crate) package: &'static str,
    /// Its name.
    pub(crate) binary: &'static str,
    /// Its image's name, without the tag; also the image's title.
    pub(crate) image: &'static str,
    /// What the image says of itself.
    pub(crate) description: &'static str,
    /// What it is told to do when nobody says otherwise.
    pub(crate) command: &'static [&'static str],
}

/// The monitor, as a DaemonSet runs it.
pub(crate) const MONITOR: Program = Program {
    package: "obit-monitor",
    binary: "obit",
    image: "obit",
    description: "Tells the applications of a Kubernetes node which of their peers are dead",
    command: &["monitor"],
};

/// The example application, as `deploy/example` runs it.
pub(crate) const EXAMPLE: Program = Program {
    package: "obit-example",
    binary: "obit-example",
    image: "obit-example",
    description: "An application that uses obit: a gRPC service and its callers",
    command: &["serve"],
};

/// All programs that have images.
pub(super) const PROGRAMS: [Program; 2] = [MONITOR, EXAMPLE];

impl Program {
    /// The image of this program, built there.
    pub(super) fn image(&self, built: PathBuf) -> Image {
        let label = |key: &str, value: &str| (format!("org.opencontainers.image.{key}"), value.to_owned());
        // All packages of the workspace have one version, licence and repository.
        let version = env!("CARGO_PKG_VERSION");
        Image {
            name: Name::new(self.image, version),
            program: built,
            command: self.command.iter().map(|&word| word.to_owned()).collect(),
            user: USER.to_owned(),
            labels: BTreeMap::from([
                label("title", self.image),
                label("description", self.description),
                label("version", version),
                label("licenses", env!("CARGO_PKG_LICENSE")),
                label("source", env!("CARGO_PKG_REPOSITORY")),
            ]),
        }
    }
}
