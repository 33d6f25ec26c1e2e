//! A cgroup of the run's own in every hierarchy, and in it one for each node, below which its kubelet keeps the pods'. Where processors are
//! shared out, this process enters one beside them, and with it all that it starts: the whole cluster comes before whatever else
//! keeps the machine busy, and within it neither the pods nor what runs them starve.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::name::RunId;

/// Where Linux distributions mount the hierarchies.
const ROOT: &str = "/sys/fs/cgroup";

/// Ten times the default share of the processors, in version 1 and in version 2.
const SHARES: &str = "10240";
const WEIGHT: &str = "1000";

/// The cgroup of this process and of all that it starts, beside the nodes'.
const CONTROL: &str = "control";

/// The run's cgroups. Dropping it removes them; by then nothing but this process may run in them.
#[derive(Debug)]
pub(super) struct Cgroups {
    run: RunId,
    hierarchies: Vec<Hierarchy>,
    /// Where this process was before.
    left: Vec<PathBuf>,
}

/// A mounted hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Hierarchy {
    root: PathBuf,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The one hierarchy of version 2, whose controllers have to be handed down.
    Unified,
    /// One of version 1 with the controller `cpuset`, which starts without processors.
    Cpuset,
    /// One of version 1 with the controller `cpu`.
    Cpu,
    Other,
}

impl Cgroups {
    /// Makes the cgroups of these nodes.
    pub(super) fn new(run: RunId, nodes: impl Iterator<Item = String>) -> Result<Self> {
        let mounts = fs::read_to_string("/proc/self/mounts").context("/proc/self/mounts")?;
        let was_in = fs::read_to_string("/proc/self/cgroup").context("/proc/self/cgroup")?;
        let mut cgroups = Self {
            run,
            hierarchies: hierarchies(&mounts),
            left: Vec::new(),
        };
        let nodes: Vec<_> = nodes.collect();
        for hierarchy in &cgroups.hierarchies {
            let own = hierarchy.root.join(run.cgroup());
            hierarchy.make(&hierarchy.root, &own)?;
            for node in &nodes {
                hierarchy.make(&own, &own.join(node))?;
            }
            if hierarchy.prefer(&own)? {
                let control = own.join(CONTROL);
                hierarchy.make(&own, &control)?;
                enter(&control)?;
                cgroups.left.extend(hierarchy.find(&was_in));
            }
        }
        Ok(cgroups)
    }

    /// The cgroup of a node, as kubelet wants to be told: below the root of each hierarchy.
    pub(super) fn of(&self, node: &str) -> String {
        format!("/{}/{node}", self.run.cgroup())
    }
}

impl Drop for Cgroups {
    fn drop(&mut self) {
        for left in &self.left {
            // It stays where it cannot get out of, and the cgroup is swept by the next run.
            let _ = enter(left);
        }
        for hierarchy in &self.hierarchies {
            // What cannot be removed is swept by the next run.
            let _ = remove(&hierarchy.root.join(self.run.cgroup()));
        }
    }
}

impl Hierarchy {
    fn make(&self, parent: &Path, cgroup: &Path) -> Result<()> {
        let what = || format!("making the cgroup {}", cgroup.display());
        if self.kind == Kind::Unified {
            let controllers = fs::read_to_string(parent.join("cgroup.controllers")).with_context(what)?;
            for controller in controllers.split_whitespace() {
                // One that cannot be handed down is one that kubelet will say it misses.
                let _ = fs::write(parent.join("cgroup.subtree_control"), format!("+{controller}"));
            }
        }
        fs::create_dir_all(cgroup).with_context(what)?;
        if self.kind == Kind::Cpuset {
            for file in ["cpuset.cpus", "cpuset.mems"] {
                let value = fs::read(parent.join(file)).with_context(what)?;
                fs::write(cgroup.join(file), value).with_context(what)?;
            }
        }
        Ok(())
    }

    /// Gives the cgroup a large share of the processors, if this is where they are shared out; whether it is.
    fn prefer(&self, cgroup: &Path) -> Result<bool> {
        let (file, value) = match self.kind {
            Kind::Cpu => ("cpu.shares", SHARES),
            Kind::Unified => ("cpu.weight", WEIGHT),
            Kind::Cpuset | Kind::Other => return Ok(false),
        };
        let file = cgroup.join(file);
        // Of hierarchies of both versions one has the controller.
        let shared_out = file.exists();
        if shared_out {
            fs::write(&file, value).with_context(|| format!("writing {}", file.display()))?;
        }
        Ok(shared_out)
    }

    /// The cgroup of this hierarchy in what `/proc/PID/cgroup` says.
    fn find(&self, cgroups: &str) -> Option<PathBuf> {
        let path = cgroups.lines().find_map(|line| {
            let (_, rest) = line.split_once(':')?;
            let (controllers, path) = rest.split_once(':')?;
            let here = match self.kind {
                Kind::Unified => controllers.is_empty(),
                Kind::Cpu => controllers.split(',').any(|controller| controller == "cpu"),
                Kind::Cpuset | Kind::Other => false,
            };
            here.then_some(path)
        })?;
        Some(self.root.join(path.trim_start_matches('/')))
    }
}

/// Moves this process into the cgroup.
fn enter(cgroup: &Path) -> Result<()> {
    let file = cgroup.join("cgroup.procs");
    fs::write(&file, std::process::id().to_string()).with_context(|| format!("writing {}", file.display()))
}

/// Removes a cgroup with all below it.
///
/// # Errors
/// When something runs in one of them.
pub(super) fn remove(cgroup: &Path) -> std::io::Result<()> {
    let Ok(entries) = fs::read_dir(cgroup) else {
        return Ok(());
    };
    for entry in entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
    {
        remove(&entry.path())?;
    }
    fs::remove_dir(cgroup)
}

/// The cgroups at the top of every hierarchy.
pub(super) fn top() -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let roots = hierarchies(&mounts)
        .into_iter()
        .filter_map(|hierarchy| fs::read_dir(hierarchy.root).ok());
    roots.flatten().flatten().map(|entry| entry.path()).collect()
}

fn hierarchies(mounts: &str) -> Vec<Hierarchy> {
    let hierarchy = |line: &str| {
        let mut fields = line.split_whitespace().skip(1);
        let (root, filesystem, options) = (fields.next()?, fields.next()?, fields.next()?);
        let has = |controller| options.split(',').any(|option| option == controller);
        let kind = match filesystem {
            "cgroup2" => Kind::Unified,
            "cgroup" if has("cpuset") => Kind::Cpuset,
            "cgroup" if has("cpu") => Kind::Cpu,
            "cgroup" => Kind::Other,
            _ => return None,
        };
        Path::new(root).starts_with(ROOT).then(|| Hierarchy {
            root: root.into(),
            kind,
        })
    };
    mounts.lines().filter_map(hierarchy).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hierarchies_of_both_versions_are_found_where_distributions_mount_them() {
        let mounts = "tmpfs /sys/fs/cgroup tmpfs rw 0 0\n\
                      cgroup /sys/fs/cgroup/cpuset cgroup rw,relatime,cpuset 0 0\n\
                      cgroup /sys/fs/cgroup/cpu cgroup rw,relatime,cpu,cpuacct 0 0\n\
                      cgroup /sys/fs/cgroup/systemd cgroup rw,name=systemd 0 0\n\
                      cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n\
                      cgroup2 /somewhere/else cgroup2 rw 0 0\n";
        let kinds: Vec<_> = hierarchies(mounts)
            .into_iter()
            .map(|found| (found.root, found.kind))
            .collect();
        assert_eq!(
            kinds,
            [
                ("/sys/fs/cgroup/cpuset".into(), Kind::Cpuset),
                ("/sys/fs/cgroup/cpu".into(), Kind::Cpu),
                ("/sys/fs/cgroup/systemd".into(), Kind::Other),
                ("/sys/fs/cgroup/unified".into(), Kind::Unified),
            ]
        );
        let alone = hierarchies("cgroup2 /sys/fs/cgroup cgroup2 rw,nsdelegate 0 0\n");
        assert_eq!(alone.len(), 1);
    }

    #[test]
    fn where_a_process_is_is_found_in_the_hierarchy_with_the_processors() {
        let of = |kind| Hierarchy {
            root: "/sys/fs/cgroup/x".into(),
            kind,
        };
        let said = "4:cpuset:/a\n3:cpu,cpuacct:/b/c\n0::/d\n";
        assert_eq!(of(Kind::Cpu).find(said), Some("/sys/fs/cgroup/x/b/c".into()));
        assert_eq!(of(Kind::Unified).find(said), Some("/sys/fs/cgroup/x/d".into()));
        assert_eq!(of(Kind::Other).find(said), None);
        assert_eq!(of(Kind::Cpu).find("1:cpu:/\n"), Some("/sys/fs/cgroup/x/".into()));
    }

    #[test]
    fn a_cgroup_is_removed_with_those_below_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let top = folder.path().join("run");
        fs::create_dir_all(top.join("node1/kubepods")).expect("folders");
        remove(&top).expect("removed");
        assert!(!top.exists());
        remove(&top).expect("nothing to remove");
    }
}
