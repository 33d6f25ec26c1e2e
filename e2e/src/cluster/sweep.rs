//! Removes what runs left that were killed before they could clean up. Their processes died with them; names stayed.

use std::path::Path;

use anyhow::Result;

use super::name::leftovers;
use super::{cgroups, fabric};

/// Deletes namespaces and cgroups of dead runs, and says so.
pub(super) fn sweep() -> Result<()> {
    let alive = |pid: u32| Path::new("/proc").join(pid.to_string()).exists();
    let namespaces = fabric::namespaces()?;
    for name in leftovers(namespaces.iter().map(String::as_str), alive) {
        eprintln!("   a run that was killed left the network namespace {name}: deleting it");
        // Another run that starts at this moment may have been faster.
        let _ = fabric::delete(name);
    }
    for cgroup in cgroups::top() {
        let name = cgroup.file_name().unwrap_or_default().to_string_lossy();
        if !leftovers(std::iter::once(name.as_ref()), alive).is_empty()
            && let Err(error) = cgroups::remove(&cgroup)
        {
            eprintln!(
                "   a run that was killed left {}, which cannot be removed: {error}",
                cgroup.display()
            );
        }
    }
    Ok(())
}
