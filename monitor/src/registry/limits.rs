//! How much subscribers may ask, and the refusal of more.

/// How much subscribers may ask of a monitor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Subscribers at once.
    pub subscribers: usize,
    /// Peers per subscriber.
    pub peers: usize,
    /// Peers of all subscribers together, each counted for each subscriber.
    pub watches: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            subscribers: 1_024,
            peers: 16_384,
            watches: 1_048_576,
        }
    }
}

/// A limit that was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    /// No more subscribers.
    #[error("this monitor serves {0} subscribers at most")]
    Subscribers(usize),
    /// No more peers for this subscriber.
    #[error("a subscriber may watch {0} peers at most")]
    Peers(usize),
    /// No more peers for anyone.
    #[error("all subscribers together may watch {0} peers at most")]
    Watches(usize),
}
