//! Peers on the wire and as socket addresses.

use std::net::{IpAddr, SocketAddr};

use crate::Peer;

/// A [`Peer`] that names no transport address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PeerError {
    /// An address is 4 bytes (IPv4) or 16 bytes (IPv6).
    #[error("a peer's address has 4 or 16 bytes, not {0}")]
    AddressLength(usize),
    /// A port is 1 to 65535.
    #[error("a peer's port is 1 to 65535, not {0}")]
    Port(u32),
    /// 0.0.0.0, `::` and multicast addresses name no single peer.
    #[error("{0} is not the address of one peer")]
    NotUnicast(IpAddr),
}

/// The address with an IPv4-mapped IPv6 address turned into IPv4, flow label and scope dropped: one peer, one key.
#[must_use]
pub fn normalise(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

impl From<SocketAddr> for Peer {
    fn from(address: SocketAddr) -> Self {
        let octets = match address.ip().to_canonical() {
            IpAddr::V4(v4) => v4.octets().to_vec(),
            IpAddr::V6(v6) => v6.octets().to_vec(),
        };
        Peer {
            address: octets,
            port: address.port().into(),
        }
    }
}

impl TryFrom<&Peer> for SocketAddr {
    type Error = PeerError;

    fn try_from(peer: &Peer) -> Result<Self, PeerError> {
        let length = peer.address.len();
        let ip = if let Ok(v4) = <[u8; 4]>::try_from(peer.address.as_slice()) {
            IpAddr::from(v4)
        } else if let Ok(v6) = <[u8; 16]>::try_from(peer.address.as_slice()) {
            IpAddr::from(v6).to_canonical()
        } else {
            return Err(PeerError::AddressLength(length));
        };
        if ip.is_unspecified() || ip.is_multicast() {
            return Err(PeerError::NotUnicast(ip));
        }
        match u16::try_from(peer.port) {
            Ok(port) if port != 0 => Ok(SocketAddr::new(ip, port)),
            _ => Err(PeerError::Port(peer.port)),
        }
    }
}
