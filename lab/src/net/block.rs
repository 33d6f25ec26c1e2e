//! Addresses by the thousand, all of them one host's own: what is dialled there never leaves its loopback interface.

use std::net::{Ipv4Addr, SocketAddr};

use super::Host;
use super::command::{NetError, run};

/// 198.18.64.0/18, within the lab's prefix and clear of its hosts.
const FIRST: u32 = u32::from_be_bytes([198, 18, 64, 0]);

/// The prefix length.
const PREFIX_LENGTH: u8 = 18;

/// How many peers the block has.
pub const BLOCK_PEERS: u32 = (1 << (32 - PREFIX_LENGTH)) - 3;

/// The `number`th peer of the block, counted from 0 and from the start again past its end.
#[must_use]
pub fn block_peer(number: u32, port: u16) -> SocketAddr {
    // The first two addresses are the network's and the one that dials.
    SocketAddr::from((Ipv4Addr::from(FIRST + 2 + number % BLOCK_PEERS), port))
}

impl Host {
    /// Gives this host every address of the block, on its loopback interface. Dials to them come from the block's first
    /// address, which is none of its peers.
    ///
    /// # Errors
    /// When `ip` is missing or refuses.
    pub fn own_block(&self) -> Result<(), NetError> {
        let address = format!("{}/{PREFIX_LENGTH}", Ipv4Addr::from(FIRST + 1));
        let arguments = ["-n", &self.namespace, "address", "add", &address, "dev", "lo"];
        run("ip", &arguments, "").map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_lie_within_the_block_and_none_is_the_address_that_dials() {
        assert_eq!(block_peer(0, 80), "198.18.64.2:80".parse().unwrap());
        assert_eq!(block_peer(BLOCK_PEERS - 1, 80), "198.18.127.254:80".parse().unwrap());
        assert_eq!(block_peer(BLOCK_PEERS, 80), block_peer(0, 80));
    }
}
