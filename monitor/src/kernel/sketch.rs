//! The sketch of the watch filter: one bit for many addresses, by which the programs know of most that nobody watches them.

use std::sync::atomic::{AtomicU64, Ordering};

use obit_ebpf::{SKETCH_BITS, sketch_bit};

use super::shared::SharedWords;

/// How many words the sketch takes.
pub(super) const WORDS: usize = SKETCH_BITS as usize / BITS;

const BITS: usize = u64::BITS as usize;

/// The bits the programs look at, and how many watched addresses each stands for.
#[derive(Debug)]
pub(super) struct Sketch {
    words: SharedWords,
    counts: Counts,
}

impl Sketch {
    /// `words`: [`WORDS`] of them, all zero.
    pub(super) fn new(words: SharedWords) -> Self {
        Self {
            words,
            counts: Counts::default(),
        }
    }

    /// One more address is watched.
    pub(super) fn add(&mut self, address: &[u8; 16]) {
        let bit = sketch_bit(address);
        if self.counts.add(bit)
            && let Some((word, mask)) = self.place(bit)
        {
            word.fetch_or(mask, Ordering::Release);
        }
    }

    /// One that was added is watched no more.
    pub(super) fn remove(&mut self, address: &[u8; 16]) {
        let bit = sketch_bit(address);
        if self.counts.remove(bit)
            && let Some((word, mask)) = self.place(bit)
        {
            word.fetch_and(!mask, Ordering::Release);
        }
    }

    /// The word a bit is in, and the bit in it.
    fn place(&self, bit: u32) -> Option<(&AtomicU64, u64)> {
        let bit = bit as usize;
        Some((self.words.words().get(bit / BITS)?, 1 << (bit % BITS)))
    }
}

/// How many addresses have each bit.
#[derive(Debug)]
struct Counts(Box<[u32]>);

impl Default for Counts {
    fn default() -> Self {
        Self(vec![0; SKETCH_BITS as usize].into())
    }
}

impl Counts {
    /// Returns whether the first came.
    fn add(&mut self, bit: u32) -> bool {
        let Some(count) = self.0.get_mut(bit as usize) else {
            return false;
        };
        *count = count.saturating_add(1);
        *count == 1
    }

    /// Returns whether the last went.
    fn remove(&mut self, bit: u32) -> bool {
        let Some(count) = self.0.get_mut(bit as usize).filter(|count| **count > 0) else {
            return false;
        };
        *count -= 1;
        *count == 0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn a_bit_is_set_from_the_first_address_to_the_last() {
        let mut counts = Counts::default();
        assert!(counts.add(7) && !counts.add(7) && counts.add(8));
        assert!(!counts.remove(7) && counts.remove(7));
        assert!(!counts.remove(7), "never added");
        assert!(!counts.add(SKETCH_BITS) && !counts.remove(SKETCH_BITS), "no such bit");
    }

    #[test]
    fn the_addresses_of_a_cluster_hardly_share_bits() {
        // Forty nodes with a hundred pods each.
        let pods = (0..40_u8).flat_map(|node| (1..=100).map(move |pod| Ipv4Addr::new(10, 244, node, pod)));
        let bits: HashSet<_> = pods.map(|pod| sketch_bit(&pod.to_ipv6_mapped().octets())).collect();
        assert!(bits.len() > 3_700, "{} bits for 4 000 addresses", bits.len());
        assert!(bits.iter().all(|bit| *bit < SKETCH_BITS));
    }
}
