//! The hub's hand on the kernel half: what is looked at there.

use std::io;
use std::net::IpAddr;

/// Which addresses the kernel half looks at.
pub trait Filter: Send {
    /// Looks at an address from now on.
    ///
    /// # Errors
    /// `QuotaExceeded` when it can look at no more of them; otherwise what the kernel said.
    fn insert(&mut self, ip: IpAddr) -> io::Result<()>;

    /// Looks away from an address.
    ///
    /// # Errors
    /// What the kernel said.
    fn remove(&mut self, ip: IpAddr) -> io::Result<()>;
}

impl Filter for crate::kernel::WatchFilter {
    fn insert(&mut self, ip: IpAddr) -> io::Result<()> {
        Self::insert(self, ip)
    }

    fn remove(&mut self, ip: IpAddr) -> io::Result<()> {
        Self::remove(self, ip)
    }
}
