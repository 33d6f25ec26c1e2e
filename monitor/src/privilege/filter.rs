//! The system calls that are answered with `EPERM` once the monitor runs.
//!
//! A list of what is denied, not of what is allowed. A list of what is allowed would be shorter to reason about and closed
//! to system calls yet to come; but it depends on the C library, the allocator and the runtime down to their rarest
//! paths, and is wrong first on somebody else's machine, as a monitor that hangs once a month. What is left to a process
//! without capabilities is little; this list takes from that little what leads out of the process: to other programs,
//! other processes, other namespaces, the network, and to the parts of the kernel with the longest record of holes.
//!
//! `EPERM`, not a signal: should a library ever want one of these calls, it gets an error, and the node its verdicts.

use std::collections::BTreeMap;

use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, apply_filter_all_threads,
};

use super::{Dials, PrivilegeError};

/// The rules for each system call, by number. None: denied whatever its arguments.
type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Denied on every architecture.
const DENIED: &[i64] = &[
    // Programs.
    libc::SYS_execve,
    libc::SYS_execveat,
    // Other processes.
    libc::SYS_kcmp,
    libc::SYS_kill,
    libc::SYS_migrate_pages,
    libc::SYS_move_pages,
    libc::SYS_pidfd_getfd,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_send_signal,
    libc::SYS_process_madvise,
    libc::SYS_process_mrelease,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_tgsigqueueinfo,
    libc::SYS_tkill,
    // Namespaces and mounts.
    libc::SYS_chroot,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fsopen,
    libc::SYS_fspick,
    libc::SYS_mount,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_pivot_root,
    libc::SYS_setns,
    libc::SYS_umount2,
    libc::SYS_unshare,
    // What the ring does, this filter does not see.
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_io_uring_setup,
    // Files of its user that others execute or trust.
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    FCHMODAT2,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_fsetxattr,
    libc::SYS_lsetxattr,
    libc::SYS_mknodat,
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    libc::SYS_setxattr,
    SETXATTRAT,
    // Parts of the kernel nothing here needs.
    libc::SYS_acct,
    libc::SYS_add_key,
    libc::SYS_clock_adjtime,
    libc::SYS_clock_settime,
    libc::SYS_delete_module,
    libc::SYS_fanotify_init,
    libc::SYS_finit_module,
    libc::SYS_init_module,
    #[cfg(not(all(target_arch = "aarch64", target_env = "musl")))]
    libc::SYS_kexec_file_load,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_perf_event_open,
    libc::SYS_personality,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_reboot,
    libc::SYS_request_key,
    libc::SYS_setdomainname,
    libc::SYS_sethostname,
    libc::SYS_settimeofday,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_syslog,
    libc::SYS_userfaultfd,
    libc::SYS_vhangup,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_chmod,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_chown,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_fork,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_lchown,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_mknod,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_modify_ldt,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_vfork,
];

/// New enough for the `libc` crate to lack them on some architecture; the same on all (`asm-generic/unistd.h`).
const FCHMODAT2: i64 = 452;
const SETXATTRAT: i64 = 463;

/// The commands of `bpf(2)` that look at, set and remove an element of a map, and that run a program once (`linux/bpf.h`). Of the
/// programs this process has, the last runs only the one that names the cgroup of a descriptor: the kernel runs none of the others
/// by hand.
const BPF_LEFT: [u64; 4] = [1, 2, 3, 10];

/// Marks the system calls of x32, a second ABI of some x86-64 kernels under the same architecture
/// (`__X32_SYSCALL_BIT`, `asm/unistd.h`).
#[cfg(target_arch = "x86_64")]
const X32: i64 = 0x4000_0000;

/// What x32 numbers in its own way: execve, ptrace, `rt_sigqueueinfo`, `kexec_load`, `move_pages`, `rt_tgsigqueueinfo`,
/// `process_vm_readv`, `process_vm_writev`, execveat (`syscall_64.tbl`).
#[cfg(target_arch = "x86_64")]
const X32_OWN: [i64; 9] = [520, 521, 524, 528, 533, 536, 539, 540, 545];

/// Installs the filter for every thread of this process, and sets `no_new_privs`. Of the network, and of the sockets of
/// other daemons, one descriptor is left that may be dialled with: subscribers come to us. Where Kubernetes is watched the network
/// stays open, for whom a call of `connect(2)` is meant lies in memory, out of a filter's sight.
pub(super) fn install(dials: Dials) -> Result<(), PrivilegeError> {
    let own_pid = u64::from(std::process::id());
    let denied = program(denied(own_pid, dials)?, libc::EPERM)?;
    // Its flags lie in memory, out of a filter's sight. The C library then falls back to `clone`, whose flags do not.
    let unknown = program(BTreeMap::from([(libc::SYS_clone3, vec![])]), libc::ENOSYS)?;
    apply_filter_all_threads(&unknown)?;
    apply_filter_all_threads(&denied)?;
    Ok(())
}

fn program(rules: Rules, errno: i32) -> Result<BpfProgram, BackendError> {
    let errno = SeccompAction::Errno(errno.unsigned_abs());
    SeccompFilter::new(rules, SeccompAction::Allow, errno, std::env::consts::ARCH.try_into()?)?.try_into()
}

fn denied(own_pid: u64, dials: Dials) -> Result<Rules, BackendError> {
    let mut rules: Rules = DENIED.iter().map(|number| (*number, vec![])).collect();
    let left = BPF_LEFT.map(|command| condition(0, SeccompCmpOp::Ne, command));
    let unix = u64::from(libc::AF_UNIX.unsigned_abs());
    let thread = u64::from(libc::CLONE_THREAD.unsigned_abs());
    for (number, conditions) in [
        (libc::SYS_bpf, Vec::from(left)),
        (libc::SYS_socketpair, vec![condition(0, SeccompCmpOp::Ne, unix)]),
        // Threads, but no processes. New namespaces come with new processes, or with `unshare`.
        (libc::SYS_clone, vec![condition(0, SeccompCmpOp::MaskedEq(thread), 0)]),
        // `abort` signals its own thread.
        (libc::SYS_tgkill, vec![condition(0, SeccompCmpOp::Ne, own_pid)]),
        (libc::SYS_prlimit64, vec![condition(0, SeccompCmpOp::Ne, 0)]),
    ] {
        let conditions = conditions.into_iter().collect::<Result<_, _>>()?;
        rules.insert(number, vec![SeccompRule::new(conditions)?]);
    }
    let (connect, socket) = match dials {
        Dials::With(descriptor) => {
            // No descriptor is as large as that.
            let only = descriptor.map_or(u64::from(u32::MAX), |descriptor| u64::from(descriptor.unsigned_abs()));
            (
                Some(vec![condition(0, SeccompCmpOp::Ne, only)?]),
                vec![condition(0, SeccompCmpOp::Ne, unix)?],
            )
        }
        Dials::Network => {
            let families = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6].map(i32::unsigned_abs);
            let other = families.map(|family| condition(0, SeccompCmpOp::Ne, family.into()));
            // Raw sockets and packets need a capability that is gone.
            (None, other.into_iter().collect::<Result<_, _>>()?)
        }
    };
    rules.insert(libc::SYS_socket, vec![SeccompRule::new(socket)?]);
    if let Some(connect) = connect {
        rules.insert(libc::SYS_connect, vec![SeccompRule::new(connect)?]);
    }
    #[cfg(target_arch = "x86_64")]
    {
        let x32: Rules = rules
            .iter()
            .map(|(number, rules)| (number | X32, rules.clone()))
            .collect();
        rules.extend(x32);
        rules.extend(X32_OWN.map(|number| (number | X32, vec![])));
    }
    Ok(rules)
}

/// On the lower half of an argument: the kernel takes all of these as 32-bit numbers, but for `clone`'s flags, of which
/// none that matters here lies above.
fn condition(argument: u8, operator: SeccompCmpOp, value: u64) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_call_is_listed_twice() {
        let mut numbers = DENIED.to_vec();
        numbers.sort_unstable();
        assert!(numbers.windows(2).all(|pair| pair[0] != pair[1]), "{numbers:?}");
    }

    #[test]
    fn the_filter_is_one_the_kernel_takes() {
        for dials in [Dials::With(None), Dials::With(Some(3)), Dials::Network] {
            let rules = denied(1, dials).unwrap();
            assert!(program(rules, libc::EPERM).unwrap().len() < 4_096);
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn nothing_that_is_denied_is_reached_through_the_other_abi() {
        let rules = denied(1, Dials::With(None)).unwrap();
        for number in DENIED
            .iter()
            .chain([&libc::SYS_bpf, &libc::SYS_socket, &libc::SYS_clone])
        {
            assert!(rules.contains_key(&(number | X32)), "{number}");
        }
    }
}
