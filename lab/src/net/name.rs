//! Names of the lab's namespaces. A name carries the pid of the lab that made it, so that what a dead lab left behind
//! can be told from what a living one uses.

/// The first part of every namespace of any lab.
const PREFIX: &str = "obit-lab-";

/// The lab that owns a namespace: a process of this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LabId(u32);

impl LabId {
    /// The lab run by this process.
    #[must_use]
    pub fn of_this_process() -> Self {
        Self(std::process::id())
    }

    /// The lab run by process `pid`.
    #[must_use]
    pub fn of(pid: u32) -> Self {
        Self(pid)
    }

    /// The name of this lab's namespace for `role` ("client", "pod-0", …).
    #[must_use]
    pub fn namespace(self, role: &str) -> String {
        format!("{PREFIX}{}-{role}", self.0)
    }
}

/// The pid of the lab that made the namespace `name`; `None` if no lab did.
#[must_use]
pub fn owner(name: &str) -> Option<u32> {
    let (pid, role) = name.strip_prefix(PREFIX)?.split_once('-')?;
    if role.is_empty() { None } else { pid.parse().ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_names_the_lab_that_made_it() {
        let name = LabId::of(4711).namespace("pod-3");
        assert_eq!(name, "obit-lab-4711-pod-3");
        assert_eq!(owner(&name), Some(4711));
    }

    #[test]
    fn namespaces_of_others_have_no_owner_here() {
        for name in [
            "cni-1234",
            "obit-lab-",
            "obit-lab-x-client",
            "obit-lab-12",
            "obit-lab-12-",
            "obit-1-client",
        ] {
            assert_eq!(owner(name), None, "{name}");
        }
    }
}
