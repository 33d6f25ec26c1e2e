//! The errors the programs tell apart (`include/uapi/asm-generic/errno.h`).

pub(crate) const EPIPE: u16 = 32;
pub(crate) const ENETUNREACH: u16 = 101;
pub(crate) const ECONNRESET: u16 = 104;
pub(crate) const ETIMEDOUT: u16 = 110;
pub(crate) const ECONNREFUSED: u16 = 111;
pub(crate) const EHOSTDOWN: u16 = 112;
pub(crate) const EHOSTUNREACH: u16 = 113;
