//! The watch filter: which peers the programs look at. Everything else ends in the kernel, mostly at a look at one bit.

use std::io;
use std::net::IpAddr;

use aya::maps::{HashMap, MapData, MapError};

use super::sketch::Sketch;

/// The peers the programs look at, by address. Up to 65 536.
#[derive(Debug)]
pub struct WatchFilter {
    watched: HashMap<MapData, [u8; 16], u8>,
    sketch: Sketch,
}

/// Only where there is none (`linux/bpf.h`).
const BPF_NOEXIST: u64 = 1;

impl WatchFilter {
    pub(super) fn new(watched: HashMap<MapData, [u8; 16], u8>, sketch: Sketch) -> Self {
        Self { watched, sketch }
    }

    /// Whether a peer is looked at.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn contains(&self, ip: IpAddr) -> io::Result<bool> {
        match self.watched.get(&key(ip), 0).map_err(io_error) {
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(false),
            result => result.map(|_| true),
        }
    }

    /// Looks at a peer from now on. One that is watched already stays so.
    ///
    /// # Errors
    /// `QuotaExceeded` when the filter is full; otherwise what the kernel said.
    pub fn insert(&mut self, ip: IpAddr) -> io::Result<()> {
        let key = key(ip);
        match self.watched.insert(key, 1, BPF_NOEXIST).map_err(io_error) {
            Ok(()) => {
                self.sketch.add(&key);
                Ok(())
            }
            Err(error) => match error.raw_os_error() {
                Some(libc::EEXIST) => Ok(()),
                Some(libc::E2BIG) => Err(io::Error::new(io::ErrorKind::QuotaExceeded, "the watch filter is full")),
                _ => Err(error),
            },
        }
    }

    /// Looks away from a peer. One that was not watched stays so.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn remove(&mut self, ip: IpAddr) -> io::Result<()> {
        let key = key(ip);
        match self.watched.remove(&key).map_err(io_error) {
            Ok(()) => {
                self.sketch.remove(&key);
                Ok(())
            }
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// The programs' key: IPv4 in its IPv4-mapped form.
fn key(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    }
}

/// The kernel's own error out of aya's.
pub(super) fn io_error(error: MapError) -> io::Error {
    match error {
        MapError::SyscallError(error) => error.io_error,
        MapError::ElementNotFound | MapError::KeyNotFound => io::Error::from_raw_os_error(libc::ENOENT),
        other => io::Error::other(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_one_key_in_both_of_its_forms() {
        let v4: IpAddr = "198.18.0.1".parse().unwrap();
        let mapped: IpAddr = "::ffff:198.18.0.1".parse().unwrap();
        assert_eq!(key(v4), key(mapped));
        assert_ne!(key(v4), key("::1".parse().unwrap()));
    }
}
