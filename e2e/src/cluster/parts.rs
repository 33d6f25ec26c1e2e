//! The programs a cluster is made of.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

/// Go programs in `bin/`, an unpacked part of Debian in `deb/`.
#[derive(Debug, Clone)]
pub(super) struct Parts {
    folder: PathBuf,
}

/// What has to be there.
const NEEDED: [&str; 14] = [
    "bin/kube-apiserver",
    "bin/kube-controller-manager",
    "bin/kube-scheduler",
    "bin/kubelet",
    "bin/kube-proxy",
    "bin/kubectl",
    "bin/coredns",
    "deb/usr/bin/etcd",
    "deb/usr/bin/containerd",
    "deb/usr/bin/containerd-shim-runc-v2",
    "deb/usr/bin/ctr",
    "deb/usr/lib/cni/bridge",
    "deb/usr/lib/cni/host-local",
    "deb/usr/lib/cni/tuning",
];

impl Parts {
    /// The parts in this folder.
    ///
    /// # Errors
    /// When one is missing.
    pub(super) fn new(folder: &Path) -> Result<Self> {
        let folder = folder.canonicalize().with_context(|| {
            format!(
                "there are no parts in {}: `cargo xtask e2e` builds them",
                folder.display()
            )
        })?;
        for part in NEEDED {
            ensure!(
                folder.join(part).exists(),
                "{part} is missing in {}: `cargo xtask e2e` builds what is missing",
                folder.display()
            );
        }
        Ok(Self { folder })
    }

    /// The parts that would be in this folder.
    #[cfg(test)]
    pub(super) fn unchecked(folder: &Path) -> Self {
        Self { folder: folder.into() }
    }

    /// A Go program.
    pub(super) fn bin(&self, name: &str) -> PathBuf {
        self.folder.join("bin").join(name)
    }

    /// A program of Debian's.
    pub(super) fn debian(&self, name: &str) -> PathBuf {
        let places = ["deb/usr/bin", "deb/usr/sbin"].map(|place| self.folder.join(place).join(name));
        let [first, _] = &places;
        places.iter().find(|place| place.exists()).unwrap_or(first).clone()
    }

    /// The folder of the CNI plugins.
    pub(super) fn cni(&self) -> PathBuf {
        self.folder.join("deb/usr/lib/cni")
    }

    /// `PATH` with the parts first: containerd finds its shim there.
    pub(super) fn path(&self) -> OsString {
        let own = ["deb/usr/bin", "deb/usr/sbin", "bin"].map(|place| self.folder.join(place));
        let path = env::var_os("PATH").unwrap_or_default();
        let system = ["/usr/sbin", "/sbin"].map(PathBuf::from);
        let all = own.into_iter().chain(env::split_paths(&path)).chain(system);
        // Only a folder with a colon in its name cannot be joined.
        env::join_paths(all).unwrap_or(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_part_is_named_with_what_builds_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let error = Parts::new(folder.path()).expect_err("nothing there").to_string();
        assert!(error.starts_with("bin/kube-apiserver is missing"), "{error}");
        assert!(error.ends_with("`cargo xtask e2e` builds what is missing"), "{error}");
    }
}
