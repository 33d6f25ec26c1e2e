//! What this machine has of what the kernel half needs, without loading anything and without any privilege.

use std::fs;

use super::error::{Lack, StartError};
use super::load::{HOOKS, OBJECT};
use super::offsets::{Need, Offsets};
use super::preflight::{self, VMLINUX_BTF};
use super::signal::{Signal, signals};

/// A kernel and this build, held against each other.
#[derive(Debug)]
pub struct Inspection {
    /// Whether this binary has the programs in it.
    pub programs: bool,
    /// What the machine and the process lack, of what nothing works without.
    pub lacks: Vec<Lack>,
    /// Every member of the kernel's structures that the programs read, or why they cannot be looked up.
    pub members: Result<Vec<Member>, StartError>,
    /// Every hook the programs attach to.
    pub hooks: Vec<Hook>,
    /// The signals this kernel can give if all hooks can be attached to.
    pub signals: Vec<Signal>,
}

/// A member of one of the kernel's structures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its path, the structure first.
    pub path: String,
    /// Where it lies, in bytes; `None` if this kernel has none.
    pub offset: Option<u32>,
    /// What does not work without it.
    pub needed_for: String,
}

/// A place in the kernel the programs attach to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// Its name in the kernel.
    pub name: &'static str,
    /// Whether nothing works without it.
    pub needed: bool,
    /// The signals that come from there alone.
    pub signals: &'static [Signal],
    /// Whether the kernel describes it. One that is not described cannot be attached to.
    pub described: bool,
}

/// Looks at the running kernel. Blocks for a fraction of a second.
#[must_use]
pub fn inspect() -> Inspection {
    let offsets = Offsets::of_running_kernel();
    let names = fs::read(VMLINUX_BTF).unwrap_or_default();
    let hooks = HOOKS.map(|hook| Hook {
        name: hook.name,
        needed: hook.needed,
        signals: hook.signals,
        described: is_described(&names, hook.name),
    });
    let mut lacks = preflight::lacks();
    lacks.extend(offsets.iter().flat_map(Offsets::lacks));
    let possible = offsets.as_ref();
    Inspection {
        programs: !OBJECT.is_empty(),
        lacks,
        signals: possible.map_or_else(|_| Vec::new(), |offsets| signals(|signal| offsets.allow(signal), &[])),
        members: offsets.map(|offsets| offsets.members().map(Member::from).collect()),
        hooks: hooks.to_vec(),
    }
}

impl From<(String, Option<u32>, Need)> for Member {
    fn from((path, offset, need): (String, Option<u32>, Need)) -> Self {
        Self {
            path,
            offset,
            needed_for: need.to_string(),
        }
    }
}

/// Whether a kernel's type information names the type of a tracepoint's arguments, which only the tracepoint has.
fn is_described(btf: &[u8], hook: &str) -> bool {
    // Names stand in one table, each between two zeros.
    let name = format!("\0btf_trace_{hook}\0");
    btf.windows(name.len()).any(|window| window == name.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hook_is_found_by_its_whole_name() {
        let names = b"\0sock\0btf_trace_inet_sock_set_state\0tcp_retransmit_skb\0btf_trace_tcp_retransmit\0";
        assert!(is_described(names, "inet_sock_set_state"));
        assert!(!is_described(names, "tcp_retransmit_skb"));
        assert!(!is_described(names, "inet_sock"));
        assert!(!is_described(b"", "inet_sock_set_state"));
    }
}
