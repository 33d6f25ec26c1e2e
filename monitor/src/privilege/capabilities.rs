//! The capabilities of the calling thread, and how they go.

use caps::errors::CapsError;
use caps::{CapSet, Capability, CapsHashSet};

use super::{Keep, PrivilegeError};

/// Empties all five sets but for what is kept. The bounding set can be emptied only with `CAP_SETPCAP`, which root has and
/// a service need not: without capabilities and with `no_new_privs` it bounds nothing any more.
pub(super) fn give_up(keep: Keep) -> Result<(), PrivilegeError> {
    let kept: CapsHashSet = match keep {
        Keep::Nothing => CapsHashSet::new(),
        Keep::Bpf => CapsHashSet::from([Capability::CAP_BPF]),
    };
    let of = |set: &'static str| move |source: CapsError| PrivilegeError::Capabilities { set, source };
    if caps::has_cap(None, CapSet::Effective, Capability::CAP_SETPCAP).map_err(of("effective"))? {
        caps::clear(None, CapSet::Bounding).map_err(of("bounding"))?;
    }
    caps::clear(None, CapSet::Ambient).map_err(of("ambient"))?;
    caps::clear(None, CapSet::Inheritable).map_err(of("inheritable"))?;
    // In this order, for what is effective must be permitted.
    caps::set(None, CapSet::Effective, &kept).map_err(of("effective"))?;
    caps::set(None, CapSet::Permitted, &kept).map_err(of("permitted"))
}
