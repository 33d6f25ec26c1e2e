//! What one connection carries: written by calls as they come and go, read by policies.

use std::sync::Arc;

use super::Average;
use crate::sync::atomic::{AtomicUsize, Ordering};

/// The connections of one endpoint as one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Loads {
    first: Arc<Load>,
    more: Option<Arc<[Arc<Load>]>>,
}

impl From<Load> for Loads {
    fn from(load: Load) -> Self {
        Self {
            first: Arc::new(load),
            more: None,
        }
    }
}

impl Loads {
    pub(crate) fn of(first: Arc<Load>, more: impl ExactSizeIterator<Item = Arc<Load>>) -> Self {
        let more = (more.len() > 0).then(|| more.collect());
        Self { first, more }
    }

    fn more(&self) -> impl Iterator<Item = &Arc<Load>> {
        self.more.iter().flat_map(|more| more.iter())
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.more()
            .fold(self.first.in_flight(), |sum, load| sum + load.in_flight())
    }

    pub(crate) fn is_full(&self) -> bool {
        self.first.is_full() && self.more().all(|load| load.is_full())
    }

    #[cfg(test)]
    pub(crate) fn begin(&self) {
        self.first.begin();
    }

    /// Of its oldest connection: all lead to the same peer.
    pub(crate) fn average(&self) -> Option<&Average> {
        self.first.average()
    }
}

/// The streams of a connection, and how long it takes to answer.
#[derive(Debug)]
pub(crate) struct Load {
    in_flight: AtomicUsize,
    /// How many the peer grants.
    limit: AtomicUsize,
    /// Where a policy asks for it.
    average: Option<Average>,
}

impl Default for Load {
    fn default() -> Self {
        Self {
            in_flight: AtomicUsize::new(0),
            limit: AtomicUsize::new(usize::MAX),
            average: None,
        }
    }
}

impl Load {
    /// A connection whose peer has not yet said how many streams it grants: none.
    pub(crate) fn closed(average: Option<Average>) -> Self {
        Self {
            average,
            limit: AtomicUsize::new(0),
            ..Self::default()
        }
    }

    /// So many calls in flight, of any number.
    pub(crate) fn of(calls: usize, average: Option<Average>) -> Self {
        Self {
            in_flight: AtomicUsize::new(calls),
            average,
            ..Self::default()
        }
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::SeqCst)
    }

    pub(crate) fn average(&self) -> Option<&Average> {
        self.average.as_ref()
    }

    pub(crate) fn limit(&self) -> usize {
        self.limit.load(Ordering::Relaxed)
    }

    pub(crate) fn set_limit(&self, limit: usize) {
        self.limit.store(limit, Ordering::SeqCst);
    }

    pub(crate) fn is_full(&self) -> bool {
        self.in_flight() >= self.limit()
    }

    /// Takes a stream and says how many were taken before, or `None` when all are.
    pub(crate) fn begin(&self) -> Option<usize> {
        let limit = self.limit.load(Ordering::SeqCst);
        let one_more = |taken| (taken < limit).then_some(taken + 1);
        self.in_flight
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_more)
            .ok()
    }

    /// Gives a stream back and says how many are left.
    pub(crate) fn end(&self) -> usize {
        self.in_flight.fetch_sub(1, Ordering::SeqCst) - 1
    }
}
