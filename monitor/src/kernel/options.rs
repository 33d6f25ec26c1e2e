//! What the kernel half is started with.

use tracing::level_filters::LevelFilter;

use super::signal::Signal;
use crate::sighting::NetnsCookie;

/// How to start the kernel half.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Look only at sockets of this network namespace; `None` for all of the node's.
    pub netns: Option<NetnsCookie>,
    /// Signals to leave off.
    pub disabled: Vec<Signal>,
    /// Size of the ring buffer, bytes; rounded up to the next power of two of at least a page. A record takes 88 bytes.
    pub ring_bytes: u32,
    /// Whether to read what is urgent on the processor where it was seen, by a thread bound to each; done only where this
    /// process may give it priority (`SCHED_FIFO`).
    pub doorbells: bool,
    /// What the programs themselves log through `tracing`. Off, it costs them nothing: the kernel removes the code.
    pub bpf_log_level: LevelFilter,
}

impl Default for Options {
    /// Every signal of every namespace; room for 11 915 records, some ten milliseconds of the worst storm one core can make.
    fn default() -> Self {
        Self {
            netns: None,
            disabled: Vec::new(),
            ring_bytes: 1 << 20,
            doorbells: true,
            bpf_log_level: LevelFilter::OFF,
        }
    }
}

impl Options {
    /// The ring's size as the kernel takes it.
    pub(super) fn ring_bytes(&self) -> u32 {
        let page = u32::try_from(rustix::param::page_size()).unwrap_or(1 << 16);
        self.ring_bytes.clamp(page, 1 << 30).next_power_of_two()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_ring_size_becomes_one_the_kernel_takes() {
        let size = |ring_bytes| {
            Options {
                ring_bytes,
                ..Options::default()
            }
            .ring_bytes()
        };
        let page = u32::try_from(rustix::param::page_size()).unwrap();
        assert_eq!(size(0), page);
        assert_eq!(size(page + 1), 2 * page);
        assert_eq!(size(1 << 20), 1 << 20);
        assert_eq!(size(u32::MAX), 1 << 30);
    }
}
