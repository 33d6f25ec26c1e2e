//! How long a SYN may go unanswered, learnt for each destination subnet from the handshakes seen there; the waiting
//! room asks it at each dial.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

/// How many subnets are remembered for certain; up to twice as many are kept.
const SUBNETS: usize = 4_096;

/// What a threshold may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Never less than this: timers, delayed softirqs and a busy peer need some room.
    pub floor: Duration,
    /// Never more than this: a path this slow is not judged by its SYNs at all before then.
    pub ceiling: Duration,
    /// While nothing is known of a subnet.
    pub cold: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            floor: Duration::from_millis(20),
            ceiling: Duration::from_millis(250),
            cold: Duration::from_millis(50),
        }
    }
}

/// Round-trip times of handshakes by subnet, smoothed as TCP does (Jacobson/Karels, RFC 6298).
#[derive(Debug)]
pub struct Thresholds {
    bounds: Bounds,
    // Two generations: when the young one is full it becomes the old one, and what is asked for again moves back. A
    // bounded memory of the subnets in use, without a clock or a list.
    young: HashMap<Subnet, RoundTrip>,
    old: HashMap<Subnet, RoundTrip>,
}

/// A /24 (IPv4) or a /64 (IPv6), by its first address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Subnet(IpAddr);

impl Subnet {
    fn of(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(v4) => {
                let [a, b, c, _] = v4.octets();
                Self(IpAddr::from([a, b, c, 0]))
            }
            IpAddr::V6(v6) => Self(IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)))),
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct RoundTrip {
    smoothed: Duration,
    variation: Duration,
}

impl RoundTrip {
    fn first(rtt: Duration) -> Self {
        Self {
            smoothed: rtt,
            variation: rtt / 2,
        }
    }

    fn learn(&mut self, rtt: Duration) {
        let error = self.smoothed.abs_diff(rtt);
        self.variation = (self.variation * 3 + error) / 4;
        self.smoothed = (self.smoothed * 7 + rtt) / 8;
    }

    fn timeout(self) -> Duration {
        self.smoothed + self.variation * 4
    }
}

impl Thresholds {
    /// Knows nothing yet: every threshold is `bounds.cold`.
    #[must_use]
    pub fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            young: HashMap::new(),
            old: HashMap::new(),
        }
    }

    /// The threshold for a dial to `ip`: srtt + 4·rttvar of its subnet, within the bounds.
    #[must_use]
    pub fn of(&self, ip: IpAddr) -> Duration {
        let subnet = Subnet::of(ip);
        match self.young.get(&subnet).or_else(|| self.old.get(&subnet)) {
            Some(known) => known.timeout().clamp(self.bounds.floor, self.bounds.ceiling),
            None => self.bounds.cold,
        }
    }

    /// Takes in the round-trip time of a handshake with `ip`. Zero means the kernel measured none and is ignored; times
    /// beyond a second come from SYNs that were sent again and say nothing of the path.
    pub fn learn(&mut self, ip: IpAddr, rtt: Duration) {
        if rtt.is_zero() || rtt >= Duration::from_secs(1) {
            return;
        }
        let subnet = Subnet::of(ip);
        if let Some(known) = self.young.get_mut(&subnet) {
            known.learn(rtt);
            return;
        }
        let known = match self.old.remove(&subnet) {
            Some(mut known) => {
                known.learn(rtt);
                known
            }
            None => RoundTrip::first(rtt),
        };
        if self.young.len() >= SUBNETS {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(subnet, known);
    }

    /// How many subnets are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    /// Whether no subnet is known yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.young.is_empty() && self.old.is_empty()
    }
}
