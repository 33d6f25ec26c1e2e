//! Whether the feed hears a monitor: "no news" and "blind" are different things.

use std::sync::Arc;

use tokio::time::Instant;

/// Whether the feed hears a monitor.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum FeedStatus {
    /// A monitor answers: no news of a peer is good news, as far as its signals reach.
    #[non_exhaustive]
    Connected {
        /// Differs after every start of a monitor.
        epoch: u64,
        /// The node's host name.
        node: Arc<str>,
        /// The signals the monitor can see on this kernel, by name.
        signals: Arc<[String]>,
        /// Whether the monitor says that it is losing observations at the moment.
        losing: bool,
        /// Whether most of what this network namespace watches fell silent at once, so that the fault is most likely on
        /// this side. Until that is over, silence takes no peer out of rotation.
        node_suspect: bool,
    },
    /// No monitor is heard: everything learnt before is void, every peer is [`Unknown`](crate::Verdict::Unknown).
    #[non_exhaustive]
    Blind {
        /// Since when.
        since: Instant,
    },
}

impl FeedStatus {
    /// Whether a monitor answers.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        matches!(self, Self::Connected { .. })
    }
}
