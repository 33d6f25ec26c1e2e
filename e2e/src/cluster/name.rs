//! Names of what a run makes on the machine: network namespaces and cgroups. A name carries the pid of the run, so that what a dead
//! one left behind can be told from what a living one uses.

/// The first part of every name.
const PREFIX: &str = "obit-e2e-";

/// A run: a process of this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RunId(u32);

impl RunId {
    pub(super) fn of_this_process() -> Self {
        Self(std::process::id())
    }

    #[cfg(test)]
    pub(super) fn of(pid: u32) -> Self {
        Self(pid)
    }

    /// This run's network namespace for `role`: "fabric", "dns", "node1", …
    pub(super) fn namespace(self, role: &str) -> String {
        format!("{PREFIX}{}-{role}", self.0)
    }

    /// This run's cgroup, below the root of each hierarchy.
    pub(super) fn cgroup(self) -> String {
        format!("{PREFIX}{}", self.0)
    }
}

/// The pid of the run that made what is called `name`; `None` if no run did.
pub(super) fn owner(name: &str) -> Option<u32> {
    let rest = name.strip_prefix(PREFIX)?;
    let pid = match rest.split_once('-') {
        Some((_, "")) => return None,
        Some((pid, _role)) => pid,
        None => rest,
    };
    pid.parse().ok()
}

/// Those of `names` that a run made whose process is not alive.
pub(super) fn leftovers<'a>(names: impl Iterator<Item = &'a str>, alive: impl Fn(u32) -> bool) -> Vec<&'a str> {
    names
        .filter(|name| owner(name).is_some_and(|pid| !alive(pid)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_which_run_made_it() {
        let run = RunId::of(4711);
        assert_eq!(run.namespace("node1"), "obit-e2e-4711-node1");
        assert_eq!(owner(&run.namespace("node1")), Some(4711));
        assert_eq!(owner(&run.cgroup()), Some(4711));
        for name in [
            "cni-1234",
            "obit-e2e-",
            "obit-e2e-x-dns",
            "obit-e2e-12-",
            "obit-lab-12-dns",
        ] {
            assert_eq!(owner(name), None, "{name}");
        }
    }

    #[test]
    fn only_what_a_dead_run_left_is_swept() {
        let names = ["obit-e2e-10-node1", "obit-e2e-11-node1", "cni-11", "obit-e2e-11"];
        assert_eq!(
            leftovers(names.into_iter(), |pid| pid == 10),
            ["obit-e2e-11-node1", "obit-e2e-11"]
        );
    }
}
