//! A control group of the bench's own that gives the processes in it a small share of a processor, with either version of
//! the kernel's interface.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

/// Where version 2 has its groups.
const UNIFIED: &str = "/sys/fs/cgroup";

/// Where version 1 has those that share out processor time.
const LEGACY: &str = "/sys/fs/cgroup/cpu";

/// The period in which the share is given, microseconds: the kernel's default.
const PERIOD_US: u32 = 100_000;

/// What the names of the bench's groups begin with; the pid of the lab follows.
const PREFIX: &str = "obit-lab-";

/// A group. Dropping it removes it, if nobody is left in it.
#[derive(Debug)]
pub(super) struct Throttle(PathBuf);

impl Throttle {
    /// A group whose processes together get `percent` of one processor.
    pub(super) fn of(percent: u32) -> anyhow::Result<Self> {
        let quota_us = PERIOD_US / 100 * percent;
        let unified = std::fs::read_to_string(Path::new(UNIFIED).join("cgroup.subtree_control"));
        let (parent, setting) = match unified {
            Ok(shared) if shared.split_whitespace().any(|it| it == "cpu") => {
                (UNIFIED, ("cpu.max", format!("{quota_us} {PERIOD_US}")))
            }
            _ if Path::new(LEGACY).join("cpu.cfs_quota_us").exists() => {
                (LEGACY, ("cpu.cfs_quota_us", quota_us.to_string()))
            }
            _ => bail!("this machine shares out processor time to no control groups"),
        };
        sweep(Path::new(parent));
        let group = Self(Path::new(parent).join(format!("{PREFIX}{}", std::process::id())));
        std::fs::create_dir(&group.0).with_context(|| group.0.display().to_string())?;
        group.write(setting.0, &setting.1)?;
        Ok(group)
    }

    /// Takes a process in.
    pub(super) fn take(&self, pid: u32) -> anyhow::Result<()> {
        self.write("cgroup.procs", &pid.to_string())
    }

    /// In how many periods its processes had to wait for the next.
    pub(super) fn throttled_periods(&self) -> anyhow::Result<u64> {
        let path = self.0.join("cpu.stat");
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        throttled_periods_of(&text).with_context(|| format!("{} has no nr_throttled", path.display()))
    }

    fn write(&self, file: &str, text: &str) -> anyhow::Result<()> {
        let path = self.0.join(file);
        std::fs::write(&path, text).with_context(|| path.display().to_string())
    }
}

impl Drop for Throttle {
    fn drop(&mut self) {
        // What is left is swept by the next lab.
        let _ = std::fs::remove_dir(&self.0);
    }
}

fn throttled_periods_of(stat: &str) -> Option<u64> {
    stat.lines()
        .find_map(|line| line.strip_prefix("nr_throttled ")?.parse().ok())
}

/// Removes the groups of labs that were killed.
fn sweep(parent: &Path) {
    let left = std::fs::read_dir(parent).into_iter().flatten().flatten();
    for group in left.filter(|group| is_orphan(&group.file_name().to_string_lossy(), is_alive)) {
        let _ = std::fs::remove_dir(group.path());
    }
}

fn is_orphan(name: &str, is_alive: impl Fn(u32) -> bool) -> bool {
    let pid = name.strip_prefix(PREFIX).and_then(|pid| pid.parse().ok());
    pid.is_some_and(|pid| !is_alive(pid))
}

fn is_alive(pid: u32) -> bool {
    Path::new("/proc").join(pid.to_string()).exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn throttled_periods_are_found_in_what_either_version_says() {
        assert_eq!(
            throttled_periods_of("nr_periods 78\nnr_throttled 76\nthrottled_time 7219644661\n"),
            Some(76)
        );
        assert_eq!(
            throttled_periods_of("usage_usec 1\nnr_periods 9\nnr_throttled 8\nnr_bursts 0\n"),
            Some(8)
        );
        assert_eq!(throttled_periods_of("usage_usec 1\n"), None);
    }

    #[test]
    fn only_groups_of_dead_labs_are_swept() {
        let swept = |name| is_orphan(name, |pid| pid == 10);
        assert!(swept("obit-lab-11"));
        assert!(!swept("obit-lab-10") && !swept("obit-lab-") && !swept("system.slice"));
    }
}
