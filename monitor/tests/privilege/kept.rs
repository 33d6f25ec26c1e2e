//! What has to be kept, as found out by trying.

use obit_monitor::kernel;
use obit_monitor::privilege::Keep;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    apply_filter,
};

/// `BPF_MAP_LOOKUP_ELEM` (`linux/bpf.h`).
const LOOK_UP: u64 = 1;

/// Has this thread, and those it starts, refused what kernels before 5.19 refuse to whoever lacks `CAP_BPF`.
fn refuse_look_ups() {
    let look_up = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, LOOK_UP).unwrap();
    let rule = SeccompRule::new(vec![look_up]).unwrap();
    let filter = SeccompFilter::new(
        [(libc::SYS_bpf, vec![rule])].into(),
        SeccompAction::Allow,
        SeccompAction::Errno(libc::EPERM.unsigned_abs()),
        std::env::consts::ARCH.try_into().unwrap(),
    );
    apply_filter(&BpfProgram::try_from(filter.unwrap()).unwrap()).unwrap();
}

#[test]
fn a_capability_is_kept_only_where_the_kernel_asks_for_it_at_each_change_of_the_filter() {
    let tried = std::thread::spawn(|| {
        let filter = kernel::try_out().unwrap().filter;
        let now = Keep::needed_by(&filter).unwrap();
        refuse_look_ups();
        (now, Keep::needed_by(&filter).unwrap())
    });
    assert_eq!(tried.join().unwrap(), (Keep::Nothing, Keep::Bpf));
}
