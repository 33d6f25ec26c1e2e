//! What must be there before anything is loaded: the kernel's own refusals say only "operation not permitted".

use std::path::Path;

use caps::{CapSet, Capability};

use super::error::Lack;

/// The kernel's description of its types.
pub(super) const VMLINUX_BTF: &str = "/sys/kernel/btf/vmlinux";

/// What this machine and this process lack.
pub(super) fn lacks() -> Vec<Lack> {
    // A capability that cannot be asked for is not there: kernels before 5.8 know neither.
    let effective = |capability| caps::has_cap(None, CapSet::Effective, capability).unwrap_or(false);
    judge(
        Path::new(VMLINUX_BTF).exists(),
        effective(Capability::CAP_SYS_ADMIN),
        effective(Capability::CAP_BPF),
        effective(Capability::CAP_PERFMON),
    )
}

fn judge(btf: bool, sys_admin: bool, bpf: bool, perfmon: bool) -> Vec<Lack> {
    let mut lacks = Vec::new();
    if !btf {
        lacks.push(Lack::Btf);
    }
    // CAP_SYS_ADMIN stands for both, as it did before they were split from it.
    let missing: Vec<_> = [("CAP_BPF", bpf), ("CAP_PERFMON", perfmon)]
        .into_iter()
        .filter(|(_, held)| !held && !sys_admin)
        .map(|(name, _)| name)
        .collect();
    if !missing.is_empty() {
        lacks.push(Lack::Capabilities(missing));
    }
    lacks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_small_capabilities_or_the_big_one_are_enough() {
        assert_eq!(judge(true, false, true, true), []);
        assert_eq!(judge(true, true, false, false), []);
    }

    #[test]
    fn only_what_is_missing_is_named() {
        assert_eq!(
            judge(true, false, true, false),
            [Lack::Capabilities(vec!["CAP_PERFMON"])]
        );
        assert_eq!(
            judge(false, false, false, false),
            [Lack::Btf, Lack::Capabilities(vec!["CAP_BPF", "CAP_PERFMON"])]
        );
    }
}
