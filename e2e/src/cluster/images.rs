//! Images, put where kubelet finds them: there is no registry.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::Ground;
use super::node::Node;

/// How long one may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// Loads these archives into each of the nodes.
pub(super) fn load(ground: &Ground, nodes: &[Node], archives: &[PathBuf]) -> Result<()> {
    for archive in archives {
        let archive = archive
            .canonicalize()
            .with_context(|| format!("the image {}", archive.display()))?;
        for node in nodes {
            let tool = node.ctr(ground).args(["images", "import"]).arg(&archive);
            let loaded = tool.patience(PATIENCE).must();
            loaded.with_context(|| format!("loading {} into {}", archive.display(), node.name()))?;
        }
    }
    Ok(())
}
