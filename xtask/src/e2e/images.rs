//! The images that the cluster's nodes are given, as there is no registry: the monitor's, the example's, and that of
//! the process that holds a pod's namespaces.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::modules::PAUSE;
use super::parts::BINARIES;
use crate::command::Purpose;
use crate::image::{self, EXAMPLE, Image, MONITOR, Name, pack};

/// Builds and packs them all; their files. What is only to be tried lies among the parts, where nobody takes it for what is to be
/// shipped.
pub(super) fn provide(parts: &Path, purpose: Purpose) -> Result<Vec<PathBuf>> {
    let mut files = vec![pause(parts).context("the image of the process that holds a pod's namespaces")?];
    let out = match purpose {
        Purpose::Measure => image::folder()?,
        Purpose::Try => parts.join("images"),
    };
    let own = image::images(&[MONITOR, EXAMPLE], &out, purpose)?;
    files.extend(own.into_iter().map(|packed| packed.path));
    Ok(files)
}

/// The image that containerd starts each pod with. It is packed anew each time, which takes no time.
fn pause(parts: &Path) -> Result<PathBuf> {
    let image = Image {
        name: Name::new("obit-e2e.local/pause", "1"),
        program: parts.join(BINARIES).join(PAUSE.name),
        command: Vec::new(),
        user: "65535:65535".into(),
        labels: BTreeMap::new(),
    };
    Ok(pack(&image, &parts.join("images/pause.tar"))?.path)
}
