//! What the process may do once the kernel half is attached and the socket is bound: almost nothing. Stands beside the path,
//! between its start and its first subscriber.
//!
//! Three walls, each for the case that the one before it falls:
//!
//! 1. no capabilities, in any of the five sets;
//! 2. `no_new_privs`: no program it might execute gets any back;
//! 3. a seccomp filter that answers `EPERM` to the system calls which lead out of the process (`filter.rs`).
//!
//! Capabilities belong to a thread and are inherited by those it makes; the other two are set for all threads at once. So
//! the reader and its doorbells are started by a thread that has given its capabilities up already ([`start_without`]),
//! and the thread that serves subscribers gives up its own and closes the door behind all ([`give_up`]).

mod capabilities;
mod filter;

use std::io;
use std::os::fd::RawFd;
use std::thread;

use crate::kernel::WatchFilter;
use crate::priority;

/// What is kept, because the kernel asks for it again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// Nothing.
    Nothing,
    /// `CAP_BPF`: kernels before 5.19 ask for it whenever the watch filter changes, unless
    /// `kernel.unprivileged_bpf_disabled` is 0. The seccomp filter still leaves `bpf(2)` nothing but that.
    Bpf,
}

/// To whom the process may still connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dials {
    /// With this descriptor; `None`: with none.
    With(Option<RawFd>),
    /// To anybody over TCP and UDP: to the Kubernetes API, and to the name server where it has a name.
    Network,
}

/// Privileges could not be given up.
#[derive(Debug, thiserror::Error)]
pub enum PrivilegeError {
    /// The capabilities stay.
    #[error(
        "cannot give up the {set} capabilities: this kernel or this container forbids it; run with --keep-privileges if \
         that is meant"
    )]
    Capabilities {
        /// Of which set.
        set: &'static str,
        /// What the kernel said.
        #[source]
        source: caps::errors::CapsError,
    },
    /// The filter for system calls cannot be built.
    #[error("there is no filter for the system calls of this processor; run with --keep-privileges")]
    Build(#[from] seccompiler::BackendError),
    /// The filter for system calls is not taken.
    #[error(
        "the kernel did not take the filter for system calls: it may be built without CONFIG_SECCOMP_FILTER; run with \
         --keep-privileges"
    )]
    Install(#[from] seccompiler::Error),
    /// It could not be tried out what the kernel asks for.
    #[error("cannot try to use the watch filter without capabilities")]
    Probe(#[source] io::Error),
}

impl Keep {
    /// What changing this filter asks for, found out by trying, on a thread without capabilities.
    ///
    /// # Errors
    /// The filter cannot be read even with them.
    pub fn needed_by(filter: &WatchFilter) -> Result<Self, PrivilegeError> {
        let unprivileged = on_a_thread(|| {
            capabilities::give_up(Self::Nothing)?;
            Ok(filter.contains(NOBODY))
        })?;
        match unprivileged {
            Ok(_) => Ok(Self::Nothing),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(Self::Bpf),
            Err(error) => Err(PrivilegeError::Probe(error)),
        }
    }
}

/// Never the address of a peer.
const NOBODY: std::net::IpAddr = std::net::IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED);

/// Calls `start` on a thread that has its priority raised, as far as allowed, and its capabilities given up: the threads
/// started there inherit both.
///
/// # Errors
/// The kernel takes no capabilities away, or gives no thread.
pub fn start_without<T: Send>(keep: Keep, start: impl FnOnce() -> T + Send) -> Result<T, PrivilegeError> {
    on_a_thread(|| {
        // The reader says in the log what came of it.
        let _ = priority::raise_as_far_as_allowed();
        capabilities::give_up(keep)?;
        Ok(start())
    })
}

/// Gives up the capabilities of the calling thread, and the dangerous system calls of every thread there is and will be.
/// What went before cannot be undone when this fails.
///
/// # Errors
/// [`PrivilegeError`]; the process should end then.
pub fn give_up(keep: Keep, dials: Dials) -> Result<(), PrivilegeError> {
    capabilities::give_up(keep)?;
    filter::install(dials)
}

/// A thread's capabilities are its own, and gone with it.
fn on_a_thread<T: Send>(work: impl FnOnce() -> Result<T, PrivilegeError> + Send) -> Result<T, PrivilegeError> {
    thread::scope(|scope| {
        let thread = thread::Builder::new()
            .name("obit-start".into())
            .spawn_scoped(scope, work);
        let result = thread.map_err(PrivilegeError::Probe)?.join();
        result.unwrap_or_else(|_| Err(PrivilegeError::Probe(io::Error::other("the thread panicked"))))
    })
}
